.PHONY: test-sql

test-sql:  ## pgTAP: the schema refuses what it should
	@tests/sql/run.sh

SUITES += test-sql
