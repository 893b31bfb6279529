/* main.c - start, wiring, signals; nothing else. */
int main(void) { return 0; }
