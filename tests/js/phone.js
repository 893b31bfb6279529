/* A phone made of JsSIP, for tests/phones/test_jssip.py: signalling alone.
 *
 *   node phone.js ws://127.0.0.1:5066 1001 secret [domain]
 *
 * A line of standard input is a command with its arguments: register, unregister, call NUMBER, answer, reject STATUS, hangup, hold,
 * unhold, restart (of ICE), dtmf DIGITS [INFO | RFC2833], options TARGET, quit. A line of standard output is an event in JSON.
 *
 * JsSIP wants a browser. Its socket is npm's ws; its peer connection is a stand-in that only writes descriptions.
 */
'use strict';

const { EventEmitter } = require('events');
const readline = require('readline');
const WebSocket = require('ws');

function tell(event, what = {}) {
	process.stdout.write(`${JSON.stringify({ event, ...what })}\n`);
}

/* ---- what a browser has ---- */

class PeerConnection extends EventEmitter {
	constructor() {
		super();
		this.signalingState = 'stable';
		this.iceGatheringState = 'complete';
		this.iceConnectionState = 'new';
		this.localDescription = this.remoteDescription = null;
		this.version = 0;
	}
	addEventListener(name, fn) { this.on(name, fn); }
	removeEventListener(name, fn) { this.off(name, fn); }
	addTrack() {}
	getSenders() { return []; }
	close() { this.signalingState = 'closed'; }
	async describe(type) {
		/* An answer is of the offer's profile; of a certificate it has but the name. */
		const profile = type === 'answer' ? /^m=audio \d+ (\S+)/m.exec(this.remoteDescription.sdp)[1] : 'RTP/AVP';
		const dtls = profile.startsWith('UDP/TLS/') ? ['a=setup:active', `a=fingerprint:sha-256 ${Array(32).fill('4A').join(':')}`] : [];
		const sdp = ['v=0', `o=- 7 ${++this.version} IN IP4 127.0.0.1`, 's=-', 'c=IN IP4 127.0.0.1', 't=0 0',
			`m=audio 49170 ${profile} 0 101`, 'a=rtpmap:0 PCMU/8000', 'a=rtpmap:101 telephone-event/8000', ...dtls, 'a=sendrecv', ''];
		return { type, sdp: sdp.join('\r\n') };
	}
	createOffer() { return this.describe('offer'); }
	createAnswer() { return this.describe('answer'); }
	async setLocalDescription(d) {
		this.localDescription = d;
		this.signalingState = d.type === 'offer' ? 'have-local-offer' : 'stable';
	}
	async setRemoteDescription(d) {
		this.remoteDescription = d;
		this.signalingState = d.type === 'offer' ? 'have-remote-offer' : 'stable';
		tell('description', { type: d.type, sdp: d.sdp });
	}
}

globalThis.window = globalThis;
globalThis.RTCPeerConnection = PeerConnection;
globalThis.RTCSessionDescription = class { constructor(d) { Object.assign(this, d); } };

class Socket {
	constructor(url) {
		this.url = url;
		this.via_transport = url.startsWith('wss:') ? 'WSS' : 'WS';
		this.sip_uri = `sip:${new URL(url).host};transport=ws`;
	}
	connect() {
		this.ws = new WebSocket(this.url, 'sip', { rejectUnauthorized: false });
		this.ws.on('open', () => this.onconnect());
		this.ws.on('message', (data, is_binary) => this.ondata(is_binary ? data : data.toString()));
		this.ws.on('error', (error) => tell('error', { what: error.message }));
		this.ws.on('close', (code, reason) => this.ondisconnect(code !== 1000, code, reason.toString()));
	}
	disconnect() { this.ws.close(); }
	send(data) { this.ws.send(data); return true; }
	isConnected() { return this.ws && this.ws.readyState === WebSocket.OPEN; }
	isConnecting() { return this.ws && this.ws.readyState === WebSocket.CONNECTING; }
}

/* ---- the phone ---- */

const { softphone } = require('./softphone.js');
const [url, user, password, domain = 'cordboard'] = process.argv.slice(2);
const media = { mediaConstraints: { audio: false, video: false } };
const phone = softphone(require('jssip'), { socket: new Socket(url), user, password, domain, media }, tell);

phone.quit = () => { phone.stop(); setTimeout(() => process.exit(0), 100); };

readline.createInterface({ input: process.stdin }).on('line', (line) => {
	const [name, ...args] = line.trim().split(/\s+/);

	try {
		phone[name](...args);
	} catch (error) {
		tell('error', { what: String(error.stack) });
	}
}).on('close', () => process.exit(0));
