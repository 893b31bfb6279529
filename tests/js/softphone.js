/* A phone made of JsSIP, in node (phone.js) or in a page (page.js). Commands come with their arguments; tell(event, what) says what happens.
 *
 * settings: socket, user, password, domain; media: what JsSIP asks the browser for.
 */
'use strict';

function softphone(JsSIP, { socket, user, password, domain, media }, tell) {
	const ua = new JsSIP.UA({ sockets: [socket], uri: `sip:${user}@${domain}`, password, register: false, session_timers: true });
	let session = null;

	function cause_of(e) {
		return { by: e.originator, cause: e.cause, status: e.message && e.message.status_code };
	}

	function watch(s) {
		session = s;
		s.on('progress', (e) => tell('progress', { by: e.originator, status: e.response && e.response.status_code }));
		s.on('accepted', (e) => tell('accepted', { by: e.originator }));
		s.on('confirmed', (e) => tell('confirmed', { by: e.originator }));
		s.on('ended', (e) => tell('ended', cause_of(e)));
		s.on('failed', (e) => tell('failed', cause_of(e)));
		s.on('hold', (e) => tell('hold', { by: e.originator }));
		s.on('unhold', (e) => tell('unhold', { by: e.originator }));
		s.on('newDTMF', (e) => e.originator === 'remote' && tell('dtmf', { digit: e.dtmf.tone }));
	}

	ua.on('connected', () => tell('connected'));
	ua.on('disconnected', (e) => tell('disconnected', { code: e.code }));
	ua.on('registered', (e) => tell('registered', { contact: e.response.getHeader('contact') }));
	ua.on('unregistered', () => tell('unregistered'));
	ua.on('registrationFailed', (e) => tell('registrationFailed', { cause: e.cause }));
	ua.on('newRTCSession', ({ originator, session: s, request }) => {
		watch(s);
		if (originator === 'remote')
			tell('incoming', { from: request.from.uri.user, contact: request.getHeader('contact') });
	});
	ua.start();

	return {
		register: () => ua.register(),
		unregister: () => ua.unregister(),
		call: (number) => ua.call(`sip:${number}@${domain}`, { ...media, rtcOfferConstraints: {} }),
		answer: () => session.answer({ ...media }),
		reject: (status) => session.terminate({ status_code: Number(status) }),
		hangup: () => session.terminate(),
		hold: () => session.hold({}, () => tell('held')),
		unhold: () => session.unhold({}, () => tell('unheld')),
		restart: () => session.renegotiate({ rtcOfferConstraints: { iceRestart: true } }, () => tell('restarted')),
		dtmf: (digits, how = 'INFO') => session.sendDTMF(digits, { duration: 100, interToneGap: 50, transportType: how }),
		options: (target) => ua.sendOptions(target, null, { eventHandlers: {
			succeeded: (e) => tell('options', { status: e.response.status_code }), failed: (e) => tell('options', cause_of(e)) } }),
		stop: () => ua.stop(),
		connection: () => session && session.connection,
		on_session: (handler) => ua.on('newRTCSession', ({ session: s }) => handler(s)),
	};
}

if (typeof module !== 'undefined')
	module.exports = { softphone };
