/* apps.c - the one list of all applications. */
#include "apps.h"

const struct app *const app_table[] = {
	&app_amd_def, &app_answer_def, &app_busy_def, &app_conference_def, &app_congestion_def, &app_dial_def, &app_dial_group_def, &app_echo_def,
	&app_fax_detect_def, &app_goto_def, &app_hangup_def, &app_menu_def, &app_music_def, &app_night_def, &app_playback_def,
	&app_read_def, &app_record_def, &app_retrieve_def, &app_ring_def, &app_say_def, &app_script_def, &app_set_def,
	&app_tones_def, &app_voicemail_def, &app_voicemail_menu_def, &app_wait_def, &app_wait_silence_def, NULL,
};
