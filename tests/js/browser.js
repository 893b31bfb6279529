/* A phone in headless Chromium, for tests/lib/browser.py: JsSIP, and the browser's own media.
 *
 *   node browser.js ws://127.0.0.1:5066 1001 secret DOMAIN MICROPHONE.wav RECEIVER.wav sound|video [CERTIFICATE]
 *
 * Commands and events are those of phone.js, and "stats": what the browser knows of its media. Its microphone is a file, over and over; what it receives goes into the other one, whose header
 * never says how long it is. With "video" it has a camera, too, which shows the browser's test picture.
 * CERTIFICATE: of the server, SHA-256 of its public key in base64; no other that nobody has signed is taken.
 */
'use strict';

const fs = require('fs');
const http = require('http');
const path = require('path');
const readline = require('readline');
const { chromium } = require('playwright-core');
const { bundle } = require('./bundle.js');

const [url, user, password, domain, microphone, receiver, video, certificate] = process.argv.slice(2);
const FLAGS = ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', `--use-file-for-fake-audio-capture=${microphone}`,
	/* where there is no other address than loopback's, that is the one to be used, by its own name */
	'--allow-loopback-in-peer-connection', '--disable-features=WebRtcHideLocalIpsWithMdns',
	'--autoplay-policy=no-user-gesture-required', '--disable-gpu', '--disable-dev-shm-usage',
	...(certificate ? [`--ignore-certificate-errors-spki-list=${certificate}`] : [])];

function tell(event, what = {}) {
	process.stdout.write(`${JSON.stringify({ event, ...what })}\n`);
}

/* RIFF's lengths are left at their greatest. */
function wav_header(rate) {
	const h = Buffer.alloc(44, 0xff);

	h.write('RIFF', 0);
	h.write('WAVEfmt ', 8);
	h.writeUInt32LE(16, 16);
	h.writeUInt16LE(1, 20);
	h.writeUInt16LE(1, 22);
	h.writeUInt32LE(rate, 24);
	h.writeUInt32LE(2 * rate, 28);
	h.writeUInt16LE(2, 32);
	h.writeUInt16LE(16, 34);
	h.write('data', 36);
	return h;
}

let file = null;

function heard(rate, samples) {
	if (file === null) {
		file = fs.openSync(receiver, 'w');
		fs.writeSync(file, wav_header(rate));
	}
	fs.writeSync(file, Buffer.from(samples, 'base64'));
}

/* getUserMedia() wants a secure context, which http://127.0.0.1 is. */
function serve() {
	const script = (name) => fs.readFileSync(path.join(__dirname, name), 'utf8');
	const html = `<!DOCTYPE html><script>${bundle('jssip', 'JsSIP').replaceAll('</script', '<\\/script')}</script>
		<script>${script('softphone.js')}</script><script>${script('page.js')}</script>`;
	const server = http.createServer((request, response) => {
		response.setHeader('content-type', 'text/html; charset=utf-8');
		response.end(html);
	});

	return new Promise((done) => server.listen(0, '127.0.0.1', () => done(server)));
}

async function main() {
	const server = await serve();
	const browser = await chromium.launch({
		executablePath: process.env.CHROMIUM || '/usr/bin/chromium', chromiumSandbox: process.getuid() !== 0, args: FLAGS });
	const page = await browser.newPage();
	let ended = false;

	async function quit() {
		if (ended)
			return;
		ended = true;
		await browser.close();
		process.exit(0);
	}

	page.on('pageerror', (error) => tell('error', { what: String(error.stack) }));
	page.on('crash', () => tell('error', { what: 'the page has crashed' }));
	browser.on('disconnected', () => process.exit(ended ? 0 : 1));
	await page.exposeFunction('tell', tell);
	await page.exposeFunction('heard', heard);
	await page.goto(`http://127.0.0.1:${server.address().port}/`);
	await page.evaluate((settings) => begin(settings), { url, user, password, domain, video: video === 'video' });
	for await (const line of readline.createInterface({ input: process.stdin })) {
		const [name, ...args] = line.trim().split(/\s+/);

		if (name === 'quit')
			break;
		page.evaluate(([n, a]) => { phone[n](...a); }, [name, args]).catch((error) => tell('error', { what: String(error.stack) }));
	}
	await quit();
}

main().catch((error) => {
	tell('error', { what: String(error.stack) });
	process.exit(1);
});
