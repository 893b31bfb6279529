/* The page of browser.js: a phone in a real browser. Its microphone is the browser's (fake) device; what comes is handed to
 * heard(rate, base64 of 16-bit samples), a tenth of a second at a time, from the moment that it is played on.
 */
'use strict';

const CHUNK_S = 0.1;
const PLAIN = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
const TAP = `registerProcessor('tap', class extends AudioWorkletProcessor {
	process(inputs) {
		if (inputs[0][0])
			this.port.postMessage(inputs[0][0].slice());
		return true;
	}
});`;

/* 16-bit samples of a stream, as the browser would play them. */
async function listen(stream) {
	const context = new AudioContext({ sampleRate: 48000 }), sink = new Audio();
	let chunk = [];

	sink.muted = true;      /* Chromium decodes a stream only while an element plays it */
	sink.srcObject = stream;
	sink.play();
	await context.audioWorklet.addModule(URL.createObjectURL(new Blob([TAP], { type: 'text/javascript' })));
	const tap = new AudioWorkletNode(context, 'tap');

	tap.port.onmessage = ({ data }) => {
		chunk.push(...data);
		if (chunk.length < CHUNK_S * context.sampleRate)
			return;
		const samples = Int16Array.from(chunk, (x) => Math.max(-1, Math.min(1, x)) * 32767);

		window.heard(context.sampleRate, btoa(String.fromCharCode(...new Uint8Array(samples.buffer))));
		chunk = [];
	};
	context.createMediaStreamSource(stream).connect(tap);
	return () => { context.close(); sink.srcObject = null; };
}

function begin(settings) {
	const media = { mediaConstraints: { audio: PLAIN, video: false }, pcConfig: { iceServers: [] } };
	const phone = softphone(JsSIP, { ...settings, socket: new JsSIP.WebSocketInterface(settings.url), media }, window.tell);

	/* After a hold the track comes again: there is one listener at a time. */
	function watch(connection) {
		let listening = Promise.resolve(() => {});

		connection.addEventListener('connectionstatechange', () => window.tell('connection', { state: connection.connectionState }));
		connection.addEventListener('track', ({ track, streams }) => {
			listening = listening.then((stop) => {
				stop();
				return listen(streams[0] || new MediaStream([track]));
			});
			window.tell('track', { streams: streams.length });
		});
	}

	phone.on_session((session) => {
		if (session.connection)
			watch(session.connection);
		session.on('peerconnection', ({ peerconnection }) => watch(peerconnection));
		session.on('sdp', ({ originator, type, sdp }) => window.tell('description', { by: originator, type, sdp }));
		session.on('getusermediafailed', (error) => window.tell('error', { what: String(error) }));
		session.on('peerconnection:setremotedescriptionfailed', (error) => window.tell('error', { what: String(error) }));
	});

	/* What the browser knows of its media. */
	phone.stats = async () => {
		const stats = [...(await phone.connection().getStats()).values()];
		const pair = stats.find((s) => s.type === 'candidate-pair' && s.nominated), codec = stats.find((s) => s.type === 'codec');
		const inbound = stats.find((s) => s.type === 'inbound-rtp'), transport = stats.find((s) => s.type === 'transport');

		window.tell('stats', { pair: pair && pair.state, dtls: transport && transport.dtlsState, codec: codec && codec.mimeType,
			srtp: transport && transport.srtpCipher, lost: inbound && inbound.packetsLost, received: inbound && inbound.packetsReceived });
	};
	window.phone = phone;
}
