/* What a page needs of an npm package, in one script: its CommonJS modules, each in a function, and `global` with what the package exports. */
'use strict';

const fs = require('fs');
const path = require('path');

/* A file that stands for a package in browsers ("browser" in its package.json), else the one that node would take. */
function resolve(name, from) {
	const file = require.resolve(name.startsWith('.') ? name : `${name}/package.json`, { paths: [from] });

	if (name.startsWith('.'))
		return file;
	const about = JSON.parse(fs.readFileSync(file, 'utf8'));

	return require.resolve(path.join(path.dirname(file), typeof about.browser === 'string' ? about.browser : about.main || 'index.js'));
}

function bundle(name, global) {
	const modules = new Map();      /* file: its text, and the files its names stand for */

	(function add(file) {
		if (modules.has(file))
			return;
		const text = fs.readFileSync(file, 'utf8'), needs = {};

		modules.set(file, { text, needs });
		if (file.endsWith('.json'))
			return;
		for (const [, need] of text.matchAll(/\brequire\(["']([^"']+)["']\)/g)) {
			needs[need] = resolve(need, path.dirname(file));
			add(needs[need]);
		}
	})(resolve(name, __dirname));

	const parts = [...modules].map(([file, { text, needs }]) => {
		const body = file.endsWith('.json') ? `module.exports = ${text};` : text;

		return `${JSON.stringify(file)}: [function (module, exports, require) {\n${body}\n}, ${JSON.stringify(needs)}]`;
	});
	return `window.${global} = (function (all) {
	const done = {};
	function load(file) {
		if (!done[file]) {
			done[file] = { exports: {} };
			all[file][0].call(done[file].exports, done[file], done[file].exports, (name) => load(all[file][1][name]));
		}
		return done[file].exports;
	}
	return load(${JSON.stringify([...modules.keys()][0])});
})({\n${parts.join(',\n')}\n});\n`;
}

module.exports = { bundle };
