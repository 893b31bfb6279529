-- What was decided about a domain's calls is its administrators' to know.

CALL pbx.tenant_table('pbx.decision_log');
CALL pbx.global_table('pbx.decision_kind', 'sentences, which are the same for all', '{SELECT}');
