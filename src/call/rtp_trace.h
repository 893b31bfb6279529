/* rtp_trace.h - the RTP and RTCP of a call's legs, for pbx.pcap().
 *
 * By choice: of all calls of a domain whose pbx.domain.capture is rtp, or of one by the command capture. A chunk of packets (dump.h) is a row
 * of pbx.rtp_trace as soon as it is full, by way of the outbox: of a call that nobody ends there is something to look at, too, and memory
 * holds one chunk a leg. What is said is as private as a recording: who reads it is decided there.
 *
 * Owner:  it belongs to itself until its stream has told the last of it; a leg points to its own while it lasts. Thread: loop thread.
 */
#pragma once

#include "call/call_int.h"

#define RTP_TRACE_LEG_MAX (8u << 20)  /* bytes of one leg's records: six minutes of G.711 both ways; packets behind that are counted */

struct rtp_trace;

/* Its stream is new; local: where its peer is told to send to. Nothing unless it is wished. */
void rtp_trace_begin(struct leg *leg, const union sockaddr_any *local);
/* It goes on in another call, which has it already. */
void rtp_trace_moved(struct leg *leg);
/* The command: all legs that there are, and will be; or no more, also where the domain wishes it. */
void rtp_trace_follow(struct call *call, bool is_on);
void rtp_trace_end(struct leg *leg);
