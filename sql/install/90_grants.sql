-- Who may do what. Tables: nobody but the owner of the extension. Views
-- filter themselves, functions check for themselves.

REVOKE ALL ON ALL ROUTINES IN SCHEMA retention FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA retention FROM PUBLIC;

GRANT USAGE ON SCHEMA retention TO PUBLIC;

GRANT SELECT ON retention.policies, retention.policy_history, retention.runs,
	retention.deletions, retention.trash, retention.pii_columns,
	retention.subjects, retention.progress,
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
	retention.tag_pii(regclass, name, text, text, jsonb, interval, text, text),
	retention.untag_pii(regclass, name),
	retention.link_subject(text, regclass, text),
	retention.unlink_subject(text, regclass),
	retention.erase_subject(text, text, text, boolean),
	-- set while a person is erased, else an error
	retention._subject_key(),
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

-- Scrubs run as the owners of tables. Those with a key check who calls.
GRANT EXECUTE ON FUNCTION
	retention.mask(text, integer, integer, text),
	retention.mask_email(text),
	retention.mask_phone(text, integer),
	retention.truncate_ip(inet, integer, integer),
	retention.truncate_ip(cidr, integer, integer),
	retention.truncate_ip(text, integer, integer),
	retention.generalize(date, text),
	retention.generalize(timestamp, text),
	retention.generalize(timestamptz, text, text),
	retention.generalize(smallint, integer),
	retention.generalize(integer, integer),
	retention.generalize(bigint, bigint),
	retention.generalize(real, double precision),
	retention.generalize(double precision, double precision),
	retention.generalize(numeric, numeric),
	retention.generalize_postal(text),
	retention.erase_json(jsonb, text[]),
	retention.erase_json(json, text[]),
	retention.pseudonym(text),
	retention.pseudonym(uuid),
	retention.pseudonym_email(text),
	retention.tombstone(text, text),
	retention.tombstone(uuid, text),
	retention.tombstone_email(text, text)
	TO PUBLIC;
GRANT EXECUTE ON PROCEDURE
	retention.run_policy(text, boolean), retention.run_due() TO PUBLIC;

-- The launcher learns of a new database with the extension at once.
SELECT retention._wake();
