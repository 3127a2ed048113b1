-- Who may do what. Tables: nobody but the owner of the extension. Views
-- filter themselves, functions check for themselves.

REVOKE ALL ON ALL ROUTINES IN SCHEMA retention FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA retention FROM PUBLIC;

GRANT USAGE ON SCHEMA retention TO PUBLIC;

GRANT SELECT ON retention.policies, retention.policy_history, retention.runs,
	retention.deletions, retention.trash, retention.progress,
	retention.health TO PUBLIC;

GRANT EXECUTE ON FUNCTION
	retention.add_policy(regclass, text, interval, text, text, text, text,
		interval, text, integer, real, boolean),
	retention.alter_policy(text, interval, text, text, text, interval, text,
		integer, real),
	retention.drop_policy(text),
	retention.pause_policy(text, text),
	retention.resume_policy(text),
	retention.allow_cascade(regclass, regclass),
	retention.revoke_cascade(regclass, regclass),
	retention.preview(text, timestamptz),
	retention.explain_row(regclass, text[]),
	retention.schedule(text, text),
	retention.unschedule(text),
	retention.accept_clock(),
	retention.enable_trash(regclass, interval, text),
	retention.disable_trash(regclass),
	-- checked when the triggers of a dump are restored; does nothing else
	retention._capture(),
	retention._capture_links(),
	retention._capture_move(),
	retention._is_moved(oid, tid),
	retention.purge_trash(regclass, timestamptz, bigint[]),
	retention.trash_rows(anyelement),
	retention.restore(bigint, text, boolean),
	retention.restore_deletion(bigint, text, boolean),
	-- what they set for this session, else nothing
	retention._restoring(anyelement),
	retention._is_restored("any"),
	retention.find_deletion(regclass, text[]),
	retention.detect_pii(regclass, integer),
	-- pure
	retention.is_my_number(text),
	retention.is_corporate_number(text),
	retention.is_credit_card(text),
	retention.is_iban(text),
	-- called by the views and by find_deletion, as the user
	retention._now(),
	retention._identity(),
	retention._policy_state(retention.policy),
	retention._mismatch(text),
	retention._sees(regclass),
	retention._has_digest(bytea, bytea),
	retention._key_digests(regclass, text[]),
	retention._qualified_name(regclass),
	retention._progress(),
	retention._processes(),
	retention._trash_days(),
	retention._trash_sees(oid, tid, integer),
	retention._trash_data(oid, tid, integer)
	TO PUBLIC;
GRANT EXECUTE ON PROCEDURE
	retention.run_policy(text, boolean), retention.run_due() TO PUBLIC;

-- The launcher learns of a new database with the extension at once.
SELECT retention._wake();
