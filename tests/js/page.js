/* The page of browser.js: a phone in a real browser. Its microphone is the browser's (fake) device. What comes is handed to
 * heard(rate, base64 of 16-bit samples), a tenth of a second at a time: each frame as the browser's RTP stack gives it out (through its ICE,
 * DTLS and SRTP, by its RTP timestamp), decoded by the browser's decoder. That is all that was sent to it, and nothing else. What it plays of it isn't:
 * on a busy machine its jitter buffer stretches, skips and makes up what came too late for the sound card, which phone.stats() tells.
 */
'use strict';

const CHUNK_S = 0.1;
const RATE_HZ = 48000;
const GAP_MAX_S = 1;            /* a longer one is another source's clock */
const PICTURE = { width: 320, height: 240, frameRate: 10 };
const PLAIN = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
const CODECS = { 'audio/opus': ['opus', 48000], 'audio/pcmu': ['ulaw', 8000], 'audio/pcma': ['alaw', 8000] };

/* Frames to samples, in their order; what lies between two of one clock and never came is silence. */
class Ear {
	constructor() {
		this.chunk = [];
		this.decoder = this.mime = this.due = null;
	}

	put(samples) {
		for (const x of samples)
			this.chunk.push(x);
		if (this.chunk.length < CHUNK_S * RATE_HZ)
			return;
		const words = Int16Array.from(this.chunk, (x) => Math.max(-1, Math.min(1, x)) * 32767), bytes = new Uint8Array(words.buffer);
		let text = '';

		for (const byte of bytes)
			text += String.fromCharCode(byte);
		window.heard(RATE_HZ, btoa(text));
		this.chunk = [];
	}

	begin(mime) {
		const [codec, rate] = CODECS[mime.toLowerCase()];

		this.mime = mime;
		this.rate = rate;
		this.due = null;
		this.at_us = 0;
		this.gaps = [];          /* before each frame that isn't out yet, in samples of the recording */
		this.decoder = new AudioDecoder({
			output: (data) => {
				const samples = new Float32Array(data.numberOfFrames), times = RATE_HZ / rate;

				data.copyTo(samples, { planeIndex: 0, format: 'f32-planar' });
				data.close();
				this.put(new Float32Array(this.gaps.shift()));
				this.put(Array.from({ length: samples.length * times }, (_, i) => samples[Math.floor(i / times)]));
			},
			error: (error) => window.tell('error', { what: String(error) }),
		});
		this.decoder.configure({ codec, sampleRate: rate, numberOfChannels: 1 });
	}

	/* Samples in a frame, by its clock; of Opus the packet says it (RFC 6716 §3.1). */
	static length(mime, data) {
		if (mime.toLowerCase() !== 'audio/opus')
			return data.byteLength;
		const bytes = new Uint8Array(data), config = bytes[0] >> 3, code = bytes[0] & 3;
		const one = config < 12 ? [480, 960, 1920, 2880][config & 3] : config < 16 ? [480, 960][config & 1] : [120, 240, 480, 960][config & 3];

		return one * (code === 0 ? 1 : code < 3 ? 2 : bytes[1] & 63);
	}

	hear({ data, rtpTimestamp, mimeType }) {
		if (!data.byteLength)
			return;
		if (mimeType !== this.mime)
			this.begin(mimeType);
		const missing = this.due === null ? 0 : (rtpTimestamp - this.due) | 0;

		this.gaps.push(missing > 0 && missing <= GAP_MAX_S * this.rate ? missing * RATE_HZ / this.rate : 0);
		this.due = (rtpTimestamp + Ear.length(mimeType, data)) >>> 0;
		this.decoder.decode(new EncodedAudioChunk({ type: 'key', timestamp: this.at_us, data }));
		this.at_us += Ear.length(mimeType, data) * 1e6 / this.rate;
	}
}

/* Chromium plays a stream only while an element does. */
function play(stream) {
	const sink = document.createElement('video');

	sink.muted = true;
	sink.srcObject = stream;
	sink.play();
	return sink;
}

function begin(settings) {
	const media = { mediaConstraints: { audio: PLAIN, video: settings.video && PICTURE }, pcConfig: { iceServers: [], encodedInsertableStreams: true } };
	const phone = softphone(JsSIP, { ...settings, socket: new JsSIP.WebSocketInterface(settings.url), media }, window.tell);

	const ear = new Ear(), seen = new WeakSet();
	const sinks = [];               /* kept, or they would be collected, and play no more */

	/* Frames pass each sender and receiver by way of us, or, once that is asked for, not at all. */
	function through(end, see) {
		if (seen.has(end))
			return;
		const { readable, writable } = end.createEncodedStreams();

		seen.add(end);
		readable.pipeThrough(new TransformStream({ transform: (frame, on) => { see(frame); on.enqueue(frame); } })).pipeTo(writable);
	}

	/* After a hold the track comes again, of the same receiver. */
	function watch(connection) {
		connection.addEventListener('connectionstatechange', () => window.tell('connection', { state: connection.connectionState }));
		connection.addEventListener('track', ({ receiver, track, streams }) => {
			for (const sender of connection.getSenders())
				through(sender, () => {});
			through(receiver, (frame) => {
				if (track.kind !== 'audio')
					return;
				const { rtpTimestamp, mimeType } = frame.getMetadata();

				ear.hear({ data: frame.data.slice(0), rtpTimestamp, mimeType });
			});
			sinks.push(play(track.kind === 'audio' && streams[0] || new MediaStream([track])));
			window.tell('track', { streams: streams.length, kind: track.kind });
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
		const of = (type, kind) => stats.find((s) => s.type === type && s.kind === kind);
		const pair = stats.find((s) => s.type === 'candidate-pair' && s.nominated), transport = stats.find((s) => s.type === 'transport');
		const inbound = of('inbound-rtp', 'audio'), outbound = of('outbound-rtp', 'audio');
		const seen = of('inbound-rtp', 'video'), shown = of('outbound-rtp', 'video');
		const codec = stats.find((s) => s.type === 'codec' && (!inbound || s.id === inbound.codecId));
		const picture = seen && stats.find((s) => s.id === seen.codecId);

		window.tell('stats', { pair: pair && pair.state, dtls: transport && transport.dtlsState, codec: codec && codec.mimeType,
			srtp: transport && transport.srtpCipher, lost: inbound && inbound.packetsLost, received: inbound && inbound.packetsReceived, sent: outbound && outbound.packetsSent,
			played_s: inbound && inbound.totalSamplesDuration,
			concealed: inbound && inbound.concealedSamples, stretched: inbound && inbound.insertedSamplesForDeceleration,
			skipped: inbound && inbound.removedSamplesForAcceleration,
			transports: stats.filter((s) => s.type === 'transport').length,
			picture: picture && picture.mimeType, frames_seen: seen && seen.framesDecoded, width: seen && seen.frameWidth,
			frames_shown: shown && shown.framesEncoded, asked_anew: shown && shown.pliCount + shown.firCount, asks_anew: seen && seen.pliCount + seen.firCount,
			repeats: shown && shown.retransmittedPacketsSent, asked_again: shown && shown.nackCount });
	};
	window.phone = phone;
}
