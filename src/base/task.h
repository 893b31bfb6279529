/* task.h - coroutines: straight-line C that waits without blocking the loop.
 *
 * A task runs on a small pooled stack with a guard page below it. It gives the thread back with
 * task_park() and goes on when somebody calls task_wake(). Woken tasks are put on a ready list and
 * run from the loop, never from inside the waker, so a waker survives what the task does.
 *
 * Owner:  a task ends by returning from its function; its stack goes back to the pool and
 *         on_end is called, last, on the loop's own stack.
 * Thread: the thread that owns the struct tasks.
 * ASan and valgrind are told of the stacks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

struct tasks;
struct task;

/* stack_size: bytes a stack, rounded up to pages; 64 KiB is ample for an application.
 * loop may be NULL (tests): then tasks_run() must be called by hand. */
int tasks_new(struct tasks **out, uv_loop_t *loop, size_t stack_size);
void tasks_close(struct tasks *ts);          /* every task must have ended */
unsigned tasks_count(const struct tasks *ts); /* live tasks */
/* Gives back what the stacks hold below the point where their tasks have been parked since before the last call of this function:
 * a call that talks waits for its end with a page or two, though it went deep while it was set up, and one that rests with what it stands
 * on alone, in the heap. To be called every few seconds. */
void tasks_trim(struct tasks *ts);
/* Runs what is ready until nothing is. */
void tasks_run(struct tasks *ts);

/* Makes a task; it first runs from the loop. on_end may be NULL. -ENOMEM, -EAGAIN (no stack). */
int task_start(struct task **out, struct tasks *ts, void (*fn)(void *arg),
	       void (*on_end)(void *arg), void *arg);
/* The same on a stack of another size, which isn't kept for the next one. */
int task_start_deep(struct task **out, struct tasks *ts, size_t stack_size, void (*fn)(void *arg),
		    void (*on_end)(void *arg), void *arg);
/* The running task, NULL outside any. */
struct task *task_self(const struct tasks *ts);
/* Gives the thread back. Returns the code handed to task_wake(). Only inside a task. */
int task_park(struct tasks *ts);
/* The same for a long wait. The caller's word for it: until it returns nobody else reads or writes what lies on the task's stack (a list that
 * has a part of it, a callback with a pointer to it), which may be put aside meanwhile. */
int task_rest(struct tasks *ts);
/* Makes a parked task ready with a code. A second wake before it ran changes nothing and returns false. */
bool task_wake(struct task *t, int code);
bool task_is_parked(const struct task *t);
