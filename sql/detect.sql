-- Where personal data is: check digits, names, types, values, suggestions,
-- rights. How much is found on the whole is in test/pgtap/detect.sql.
SET client_min_messages = warning;
SET TimeZone = 'UTC';
CREATE ROLE regress_retention_alice;
CREATE ROLE regress_retention_bob;
CREATE ROLE regress_retention_admin;
CREATE SCHEMA detect;
GRANT ALL ON SCHEMA detect TO regress_retention_alice, regress_retention_bob;
SET search_path = detect;

--
-- Check digits. The numbers are published examples.
--
SELECT n, retention.is_my_number(n)
FROM unnest(ARRAY['983205673214', '983205673210', '123456789018', '123456789012',
	'1234-5678-9018', '1234 5678 9018', '１２３４５６７８９０１８', '１２３４－５６７８－９０１８',
	'12345678901', '1234567890181', '-123456789018', '1234--56789018', 'x23456789018', '']) n;
SELECT n, retention.is_corporate_number(n)
FROM unnest(ARRAY['1180301018771', '6010701027558', '7010401022916', '7010401022917',
	'T7010401022916', '７０１０４０１０２２９１６', '701040102291', '4901234567894']) n;
SELECT n, retention.is_credit_card(n)
FROM unnest(ARRAY['4111111111111111', '4111 1111 1111 1111', '4111111111111112',
	'5555555555554444', '2223003122003222', '378282246310005', '30569309025904',
	'3530111333300000', '6011111111111117', '６２０００００００００００００５', '9111111111111111', '4111111']) n;
SELECT n, retention.is_iban(n)
FROM unnest(ARRAY['GB82 WEST 1234 5698 7654 32', 'GB82WEST12345698765432', 'gb82west12345698765432',
	'DE89370400440532013000', 'FR1420041010050500013M02606', 'DE89370400440532013001',
	'DE8937040044053201300', 'XX00']) n;
SELECT retention.is_iban(repeat('9', 500));
SELECT retention.is_my_number(NULL), retention.is_iban(NULL);
-- of random numbers one in ten passes, so that one that passes says nothing
SELECT count(*) FILTER (WHERE retention.is_my_number(lpad(n, 12, '0'))) BETWEEN 950 AND 1050 AS my_number,
	count(*) FILTER (WHERE retention.is_corporate_number(lpad(n || '55', 13, '0'))) BETWEEN 950 AND 1050 AS corporate_number,
	count(*) FILTER (WHERE retention.is_credit_card('4' || lpad(n, 15, '0'))) BETWEEN 950 AND 1050 AS card
FROM (SELECT (('x' || substr(md5(i::text), 1, 15))::bit(60)::bigint % 100000000000)::text
	FROM generate_series(1, 10000) i) t(n);
-- a wrong digit is found, mostly; two that changed their places, too
SELECT count(*) AS wrong, count(*) FILTER (WHERE retention.is_my_number(n)) AS unnoticed
FROM (SELECT overlay('123456789018' PLACING d::text FROM p FOR 1)
	FROM generate_series(1, 12) p, generate_series(0, 9) d) t(n) WHERE n <> '123456789018';

--
-- Names alone, in tables without rows.
--
CREATE TABLE english (id integer, first_name text, "lastName" text, "EMail" text, phone_numbers text,
	"HomeAddress" text, zipcode text, dob date, passwd text, login_id text, "clientIP" text, avatar bytea,
	passport_no text, iban text, credit_card_number text, sex char(1), useremail text, bank_account_no text,
	home_lat double precision, mobilephone text);
SELECT column_name, category, confidence, evidence FROM retention.detect_pii('english');
CREATE TABLE romaji (shimei text, shimei_kana text, jusho1 text, denwa_bangou text, yuubin_bangou text,
	seinengappi text, seibetsu text, keitai text, "meeruAdoresu" text, kojin_bangou text, kouza_bangou text);
SELECT column_name, category, confidence, evidence FROM retention.detect_pii('romaji');
CREATE TABLE 会員情報 (氏名 text, お名前 text, 姓 text, 名 text, フリガナ text, ﾌﾘｶﾞﾅ２ text, ふりがな３ text, ご住所 text, 電話番号１ text,
	Ｅメール text, メールアドレス text, 〒 text, 生年月日 date, 性別 text, パスワード text, ログインID text, マイナンバー text,
	旅券番号 text, 口座番号 text, 顔写真 bytea, 氏名カナ text, 届け先氏名 text);
SELECT column_name, category, confidence, evidence FROM retention.detect_pii('会員情報');
-- what only sounds like it: the last word decides
CREATE TABLE decoys (email_sent_at timestamptz, email_verified boolean, email_template text, email_count integer,
	is_email text, phone_model text, phone_type text, address_id integer, address_id_text text, product_name text, file_name text, hostname text,
	company_name text, "companyNameKana" text, password_changed_at timestamptz, password_policy text, user_agent text, mac_address text, status text,
	order_no text, name_length integer, birth_certificate_type integer, rename text, photo_count integer, 商品名 text, 会社名カナ text, 住所区分 text,
	メール送信日時 timestamptz, 電話有無 text, 氏名変更日 date, 店名 text, shouhin_mei text, kaisha_mei text, 法人番号 text, corporate_number text);
SELECT column_name, category, confidence, evidence FROM retention.detect_pii('decoys');
-- a name is a person's or a thing's by what is around it
CREATE TABLE staff (name text, photo text);
CREATE TABLE warehouse (name text, photo text, address text, phone text, manager_name text);
CREATE TABLE supplier (company_name text, contact_name text, phone text);
CREATE TABLE t1 (name text, city text, photo text);
CREATE TABLE t2 (name text, city text, photo text, address text, phone text);
SELECT relation, column_name, category, confidence, evidence
FROM unnest(ARRAY['staff', 'warehouse', 'supplier', 't1', 't2']::regclass[]) r, retention.detect_pii(r);

--
-- Values: what no name says, and what a name says in vain.
--
CREATE TABLE unnamed AS
SELECT 'user' || i || '@example.com' AS a, '090-' || 1000 + i || '-5678' AS b, '東京都千代田区丸の内' || i AS c,
	(ARRAY['佐藤 太郎', '鈴木花子', '高橋一郎', '田中 美咲'])[1 + i % 4] AS d, '192.168.' || i || '.77' AS e,
	(SELECT m FROM generate_series(0, 9) x, LATERAL (SELECT 12345670000 + i || x::text) t(m) WHERE retention.is_my_number(m)) AS f,
	(12345670000 + i || '7') AS g, (ARRAY['John Smith', 'MARY JONES', 'David Miller'])[1 + i % 3] AS h,
	'4.' || i % 20 || '.1.' || i AS i, '０３－１２３４－' || translate((1000 + i)::text, '0123456789', '０１２３４５６７８９') AS j,
	1000000 + i AS k, (ARRAY['株式会社山田', '田中商店', 'Smith Ltd.'])[1 + i % 3] AS l, i % 7 || ' lorem user@example.com' AS m
FROM generate_series(1, 100) i;
SELECT column_name, category, confidence, evidence FROM retention.detect_pii('unnamed');
CREATE TABLE misnamed AS
SELECT 'iPhone ' || i AS phone, md5(i::text) AS email, '株式会社' || i AS customer_name, i || '.50' AS postal_code,
	'000' || i AS birthday, '-' AS denwa, '' AS fax, NULL::text AS zip, i::text AS gender
FROM generate_series(1, 100) i;
SELECT column_name, category, confidence, evidence FROM retention.detect_pii('misnamed');
-- types that are text under another name; others are left out
CREATE EXTENSION citext SCHEMA detect;
CREATE DOMAIN short AS varchar(40);
CREATE DOMAIN shorter AS short CHECK (length(VALUE) < 30);
CREATE TABLE types (a citext, b shorter, c name, d xml, e varchar[], uuid uuid, phone uuid);
INSERT INTO types SELECT n, n, n, '<a/>', ARRAY[n] FROM (SELECT 'u' || i || '@example.com' FROM generate_series(1, 20) i) t(n);
SELECT column_name, category, evidence FROM retention.detect_pii('types');
-- names only
SELECT count(*) FROM retention.detect_pii('unnamed', 0);
-- one number that passes says nothing, however often it comes
CREATE TABLE one_number AS SELECT '123456789018' AS n FROM generate_series(1, 1000);
SELECT * FROM retention.detect_pii('one_number');
-- the same again, of a table of which only some blocks are read
CREATE TABLE large AS SELECT i AS id, 'user' || i || '@example.com' AS a, repeat('x', 500) AS filler FROM generate_series(1, 10000) i;
ANALYZE large;
SELECT pg_relation_size('large') / 8192 > 256 AS is_large;
SELECT (SELECT array_agg(d) FROM retention.detect_pii('large') d) = (SELECT array_agg(d) FROM retention.detect_pii('large') d) AS same,
	(SELECT evidence ~ 'values: (\d+) of \1 are' FROM retention.detect_pii('large')) AS sampled;
SELECT evidence FROM retention.detect_pii('large', 50);
-- and of one that is nearly empty
DELETE FROM large WHERE id < 9990;
SELECT category, evidence ~ 'values: (\d+) of \1 are' AS sampled FROM retention.detect_pii('large');
DELETE FROM large WHERE id < 10000;
VACUUM (TRUNCATE false) large;
INSERT INTO large SELECT i, 'a' || i || '@example.com', repeat('x', 500) FROM generate_series(1, 30) i;
SELECT category, evidence ~ 'values: (\d+) of \1 are' AS sampled FROM retention.detect_pii('large');
-- documents: paths, and never a key that is somebody
CREATE TABLE documents (id integer, doc jsonb, raw json, members jsonb, tags text[]);
INSERT INTO documents
SELECT i, jsonb_build_object('customer', jsonb_build_object('name', 'X', 'email', 'u' || i || '@example.com'), 'total', i, 'items', jsonb_build_array(jsonb_build_object('title', 'a'))),
	json_build_object('contacts', json_build_array(json_build_object('tel', '03-1234-' || 1000 + i), json_build_object('tel', '090-1234-' || 1000 + i))),
	jsonb_build_object('secret' || i || '@example.com', jsonb_build_object('mail', 'm' || i || '@example.com'), '山田太郎', 'x@example.com'),
	ARRAY['t' || i || '@example.com']
FROM generate_series(1, 30) i;
INSERT INTO documents (raw) VALUES ('{"contacts": "\u0000"}'), ('{"a": "\ud800"}');
SELECT column_name, category, evidence, suggestion FROM retention.detect_pii('documents');
SELECT count(*) FROM retention.detect_pii('documents') WHERE evidence ~ 'secret|山田' OR suggestion ~ 'secret|山田';

--
-- Suggestions: a method that works on the column, and a clock.
--
CREATE DOMAIN needed AS text NOT NULL;
CREATE TYPE sex AS ENUM ('male', 'female');
CREATE TABLE accounts (customer_id integer PRIMARY KEY, username text UNIQUE NOT NULL, login_id varchar(20) UNIQUE NOT NULL, email text UNIQUE,
	mobile_phone text NOT NULL, phone bigint NOT NULL, fax numeric, ip_address inet NOT NULL, last_name text NOT NULL, first_name needed,
	birthday date NOT NULL, born timestamptz, birth_year integer, postal_code char(8) NOT NULL, zip integer, password text NOT NULL,
	pwd varchar(10) NOT NULL, gender sex NOT NULL, sex sex NOT NULL DEFAULT 'male', seibetsu char(1) NOT NULL, avatar bytea NOT NULL, portrait oid, my_number bigint UNIQUE NOT NULL,
	latitude double precision NOT NULL, gps_location point NOT NULL, registered_at timestamptz, last_update timestamptz,
	full_name text GENERATED ALWAYS AS (last_name || 'x') STORED, passport integer GENERATED ALWAYS AS IDENTITY);
SELECT column_name, category, suggestion FROM retention.detect_pii('accounts');
CREATE TABLE friends (email text REFERENCES accounts (email), friend_username text NOT NULL REFERENCES accounts (username));
SELECT column_name, category, suggestion FROM retention.detect_pii('friends');
SELECT column_name, suggestion FROM retention.detect_pii('accounts') WHERE column_name IN ('username', 'email');
-- the clock that says best when a row began
CREATE TABLE clock_1 (tel text, updated_at timestamptz, ordered_at timestamptz, created_on date, birth_date date);
CREATE TABLE clock_2 (電話 text, 更新日時 timestamp, 注文日 date);
CREATE TABLE clock_3 (tel text, "Update Time" timestamptz);
SELECT relation, substring(suggestion FROM 'clock => .*') FROM unnest(ARRAY['clock_1', 'clock_2', 'clock_3']::regclass[]) r, retention.detect_pii(r)
WHERE category = 'phone';
-- partitions are the table's; views that hold rows cannot be tagged
CREATE TABLE parts (id integer, email text, created_at date) PARTITION BY RANGE (id);
CREATE TABLE parts_1 (created_at date, gone integer, email text, id integer);
ALTER TABLE parts_1 DROP COLUMN gone;
ALTER TABLE parts ATTACH PARTITION parts_1 FOR VALUES FROM (0) TO (100);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (100) TO (200);
INSERT INTO parts SELECT i, 'a' || i || '@example.com' FROM generate_series(1, 199) i;
CREATE MATERIALIZED VIEW copies AS SELECT email AS value FROM parts;
SELECT * FROM retention.detect_pii() WHERE relation IN ('parts'::regclass, 'parts_1'::regclass, 'copies'::regclass);
SELECT evidence FROM retention.detect_pii('parts_1');
-- names that nobody would choose
CREATE SCHEMA "Sche'ma";
CREATE TABLE "Sche'ma"."ta""ble'; DROP" ("e-mail" text, "it's \ tel""no" text, "Created ""at""" timestamptz, "%s email %n" text);
SELECT column_name, suggestion FROM retention.detect_pii('"Sche''ma"."ta""ble''; DROP"');
DROP SCHEMA "Sche'ma" CASCADE;

--
-- Rights.
--
SET ROLE regress_retention_alice;
CREATE TABLE alices (email text);
SET ROLE regress_retention_bob;
CREATE TABLE bobs (email text);
SELECT relation FROM retention.detect_pii();
SELECT * FROM retention.detect_pii('alices');
SELECT * FROM retention.detect_pii('english');
RESET ROLE;
GRANT SELECT ON bobs TO regress_retention_alice;
GRANT regress_retention_alice TO regress_retention_bob;
SET ROLE regress_retention_bob;
SELECT relation FROM retention.detect_pii();
SET ROLE regress_retention_alice;
SELECT relation FROM retention.detect_pii();
RESET ROLE;
SET retention.admin_role = 'regress_retention_admin';
SET ROLE regress_retention_admin;
SELECT relation FROM retention.detect_pii() WHERE relation::text ~ '(alices|bobs|romaji)$' AND category IN ('email', 'phone');
RESET ROLE;
RESET retention.admin_role;
SELECT relation FROM retention.detect_pii() WHERE relation::text ~ '(alices|bobs)$';
-- of an owner who may not read, the names
INSERT INTO alices VALUES ('a@example.com');
REVOKE ALL ON alices FROM regress_retention_alice;
SELECT column_name, evidence FROM retention.detect_pii('alices');
-- rows are read as the owner: his policies do not run, nor anybody's casts
SET ROLE regress_retention_bob;
CREATE FUNCTION trap() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped as %', current_user; END $$;
CREATE FUNCTION trap_text(bobs) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped as %', current_user; END $$;
CREATE CAST (bobs AS text) WITH FUNCTION trap_text(bobs) AS IMPLICIT;
CREATE TABLE traps (email text, phone bobs);
INSERT INTO traps SELECT 'a' || i || '@example.com', ROW('x')::bobs FROM generate_series(1, 5) i;
ALTER TABLE traps ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY trap ON traps USING (trap());
SELECT count(*) FROM traps;
RESET ROLE;
SELECT column_name, evidence FROM retention.detect_pii('traps');
-- operators and functions of the same name elsewhere change nothing
CREATE FUNCTION detect.left(text, integer) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped'; END $$;
SET search_path = detect, pg_catalog;
SELECT column_name FROM retention.detect_pii('large');
SET search_path = detect;

--
-- What is refused.
--
CREATE VIEW a_view AS SELECT * FROM english;
CREATE TEMP TABLE a_temp (email text);
CREATE SEQUENCE a_sequence;
CREATE FOREIGN DATA WRAPPER detect_wrapper;
CREATE SERVER detect_server FOREIGN DATA WRAPPER detect_wrapper;
CREATE FOREIGN TABLE a_foreign (email text) SERVER detect_server;
SELECT * FROM retention.detect_pii('a_view');
SELECT * FROM retention.detect_pii('a_temp');
SELECT * FROM retention.detect_pii('a_sequence');
SELECT * FROM retention.detect_pii('a_foreign');
SELECT * FROM retention.detect_pii('pg_authid');
SELECT * FROM retention.detect_pii('retention.run');
SELECT * FROM retention.detect_pii(sample => -1);
SELECT * FROM retention.detect_pii(sample => 100001);
SELECT * FROM retention.detect_pii(sample => NULL);
SELECT * FROM retention.detect_pii(1::regclass);
-- and left out, when nobody asks for it
SELECT count(*) FROM retention.detect_pii() WHERE relation IN ('a_view'::regclass, 'a_temp'::regclass, 'a_foreign'::regclass)
	OR relation::text ~ '^(retention|pg_catalog|information_schema)\.';
-- a search writes nothing, also where nothing can be written
BEGIN READ ONLY;
SELECT count(*) FROM retention.detect_pii('english');
COMMIT;

DROP FOREIGN DATA WRAPPER detect_wrapper CASCADE;
DROP SCHEMA detect CASCADE;
DROP ROLE regress_retention_alice, regress_retention_bob, regress_retention_admin;
