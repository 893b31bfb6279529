# JsSIP for the phones' suite, from the npm registry, as package-lock.json says.

build/js/.installed: tests/js/package.json tests/js/package-lock.json
	$(call say,NPM,build/js)
	@mkdir -p build/js && cp tests/js/package.json tests/js/package-lock.json build/js
	$(Q)cd build/js && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
	@touch $@
