-- Where personal data is, in the schema of a shop as one grows in Japan: names
-- in English, romaji, kanji and kana, and much that only looks personal. The
-- truth is written beside the tables; recall and precision are what counts.

SET client_min_messages = warning;
SELECT plan(12);

CREATE SCHEMA shop;
SET search_path = shop, public;

-- ------------------------------------------------- values, made up the same
-- each time. A third of the names of people are in no list of frequent ones.

CREATE FUNCTION num(i integer, salt text, below bigint) RETURNS bigint
	LANGUAGE sql IMMUTABLE AS
$$ SELECT ('x' || substr(md5(i || salt), 1, 15))::bit(60)::bigint % below $$;
CREATE FUNCTION pick(i integer, salt text, list text) RETURNS text
	LANGUAGE sql IMMUTABLE AS
$$ SELECT a[1 + num(i, salt, cardinality(a))] FROM string_to_array(list, ' ') a $$;
CREATE FUNCTION sei(i integer) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT pick(i, 'sei', '佐藤 鈴木 高橋 田中 伊藤 渡辺 山本 中村 小林 加藤 吉田 山田 松本 井上 木村 清水 山崎 池田 阿部 石川 佐久間 檜山 鷹取 沼田 曽我 奥野 三輪 向井 若林 堀口') $$;
CREATE FUNCTION mei(i integer) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT pick(i, 'mei', '太郎 花子 健一 美咲 翔太 由美子 大輔 陽菜 直樹 恵子 拓也 さくら 誠 智子 和夫 健太郎 千鶴 龍之介 八重 柚希 慶 多恵子') $$;
CREATE FUNCTION kana(i integer) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT pick(i, 'sei', 'サトウ スズキ タカハシ タナカ イトウ ワタナベ ヤマモト ナカムラ コバヤシ カトウ ヨシダ ヤマダ マツモト イノウエ キムラ シミズ ヤマザキ イケダ アベ イシカワ サクマ ヒヤマ タカトリ ヌマタ ソガ オクノ ミワ ムカイ ワカバヤシ ホリグチ')
	|| ' ' || pick(i, 'mei', 'タロウ ハナコ ケンイチ ミサキ ショウタ ユミコ ダイスケ ヒナ ナオキ ケイコ タクヤ サクラ マコト トモコ カズオ ケンタロウ チヅル リュウノスケ ヤエ ユズキ ケイ タエコ') $$;
CREATE FUNCTION romaji(i integer) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT pick(i, 'r', 'Sato Suzuki Takahashi Tanaka Ito Watanabe Sakuma Hiyama Takatori Numata')
	|| ' ' || pick(i, 'g', 'Taro Hanako Kenichi Misaki Shota Yumiko Chizuru Ryunosuke Yae') $$;
CREATE FUNCTION email(i integer) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT pick(i, 'e', 'taro hanako k.suzuki misaki_99 info abc-def sato yamada') || num(i, 'n', 9999)
	|| '@' || pick(i, 'd', 'example.com example.co.jp mail.example.ne.jp docomo.example') $$;
CREATE FUNCTION tel(i integer) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT pick(i, 't', '03-5550 045-555 06-6555 0463-55 092-555') || '-' || lpad(num(i, 'l', 10000)::text, 4, '0') $$;
CREATE FUNCTION mobile(i integer) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT pick(i, 'm', '070 080 090') || 1 + num(i, 'a', 8) || lpad(num(i, 'b', 10000000)::text, 7, '0') $$;
CREATE FUNCTION zip(i integer) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT lpad(num(i, 'z', 999)::text, 3, '0') || '-' || lpad(num(i, 'y', 9999)::text, 4, '0') $$;
CREATE FUNCTION pref(i integer) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT pick(i, 'p', '東京都 神奈川県 大阪府 北海道 愛知県 福岡県 千葉県') $$;
CREATE FUNCTION city(i integer) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT pick(i, 'c', '中央区 緑区 北区 港南市 東川町 春日市') $$;
CREATE FUNCTION town(i integer) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT pick(i, 'o', '本町 栄 桜ヶ丘 若葉台') || 1 + num(i, 'q', 9) || '-' || 1 + num(i, 'r', 30) $$;
CREATE FUNCTION company(i integer) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT pick(i, 'co', '株式会社山田商事 佐藤製作所 有限会社みどり 田中商店 合同会社アサヒ (株)北野 ㈱セイワ 鈴木工業株式会社') $$;
CREATE FUNCTION goods(i integer) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT pick(i, 'go', '山田錦720ml 有機ほうれん草 宮崎マンゴー 松本人形 石川こしひかり5kg ワイヤレスマウス USBケーブル 高橋牧場ヨーグルト 木村屋あんぱん') $$;
CREATE FUNCTION digits(i integer, salt text, n integer) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT lpad(num(i, salt, (10 ^ n)::bigint)::text, n, '0') $$;
CREATE FUNCTION wide(value text) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT translate(value, '0123456789-', '０１２３４５６７８９－') $$;
-- appends the digit with which a check of the extension says yes
CREATE FUNCTION checked(base text, what text) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT base || d FROM generate_series(0, 9) d
	WHERE CASE what WHEN 'my' THEN retention.is_my_number(base || d)
		ELSE retention.is_credit_card(base || d) END $$;
CREATE FUNCTION jan(i integer) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT b || (10 - (SELECT sum(substr(b, n, 1)::integer * CASE n % 2 WHEN 1 THEN 1 ELSE 3 END)
		FROM generate_series(1, 12) n) % 10) % 10
	FROM (SELECT pick(i, 'j', '45 49') || digits(i, 'jan', 10)) t(b)
$$;
CREATE FUNCTION day(i integer) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS
$$ SELECT timestamptz '2024-01-01 09:00+09' + num(i, 'day', 700 * 86400) * interval '1 second' $$;
CREATE FUNCTION born(i integer) RETURNS date LANGUAGE sql IMMUTABLE AS
$$ SELECT date '1945-01-01' + num(i, 'born', 22000)::integer $$;

CREATE TABLE truth (relation text, column_name text, category text);
CREATE FUNCTION is_true(relation text, columns text) RETURNS void LANGUAGE sql AS $$
	INSERT INTO truth
	SELECT $1, split_part(c, ':', 1), split_part(c, ':', 2) FROM regexp_split_to_table($2, ' ') c
$$;

-- -------------------------------------------------------------- the tables

CREATE TABLE customers AS
SELECT i AS customer_id, 'C' || digits(i, 'cc', 8) AS customer_code, sei(i) AS last_name, mei(i) AS first_name,
	split_part(kana(i), ' ', 1) AS last_name_kana, split_part(kana(i), ' ', 2) AS first_name_kana,
	email(i) AS email, tel(i) AS phone_number, mobile(i) AS mobile, zip(i) AS postal_code, pref(i) AS prefecture,
	city(i) AS city, town(i) AS address_line1, CASE WHEN i % 3 = 0 THEN 'コーポ桜' || i % 20 || '号室' END AS address_line2,
	born(i) AS birth_date, i % 3 AS gender, i % 2 = 0 AS mail_magazine, day(i) AS email_verified_at,
	pick(i, 'rank', 'gold silver bronze') AS rank, num(i, 'pt', 5000) AS point_balance, day(i) AS created_at
FROM generate_series(1, 300) i;
SELECT is_true('customers', 'last_name:name first_name:name last_name_kana:name first_name_kana:name email:email phone_number:phone mobile:phone postal_code:postal_code prefecture:address city:address address_line1:address address_line2:address birth_date:birth_date gender:gender');

CREATE TABLE m_kokyaku AS
SELECT digits(i, 'kc', 10) AS kokyaku_cd, sei(i) || '　' || mei(i) AS shimei, kana(i) AS shimei_kana, replace(zip(i), '-', '') AS yuubin_bangou,
	pref(i) || city(i) AS jusho1, town(i) AS jusho2, tel(i) AS denwa, mobile(i) AS keitai, email(i) AS mail,
	to_char(born(i), 'YYYYMMDD') AS seinengappi, pick(i, 'sx', '男 女') AS seibetsu, i % 4 AS kaiin_kbn,
	day(i)::date AS touroku_bi, company(i) AS kaisha_mei, '0' AS sakujo_flg
FROM generate_series(1, 250) i;
SELECT is_true('m_kokyaku', 'shimei:name shimei_kana:name yuubin_bangou:postal_code jusho1:address jusho2:address denwa:phone keitai:phone mail:email seinengappi:birth_date seibetsu:gender');

CREATE TABLE 会員 AS
SELECT digits(i, 'kn', 8) AS 会員番号, sei(i) || mei(i) AS 氏名, kana(i) AS フリガナ, wide(zip(i)) AS 郵便番号, pref(i) AS 都道府県,
	city(i) || wide(town(i)) AS 住所, wide(tel(i)) AS 電話番号, email(i) AS メールアドレス, born(i) AS 生年月日,
	pick(i, 'sx', '男性 女性 その他') AS 性別, pick(i, 'rk', '一般 優良 特別') AS 会員ランク, day(i) AS 登録日, i % 2 AS 退会フラグ,
	pick(i, 'ml', '希望する 希望しない') AS メール配信希望, pick(i, 'ad', '自宅 勤務先') AS 住所区分
FROM generate_series(1, 200) i;
SELECT is_true('会員', '氏名:name フリガナ:name 郵便番号:postal_code 都道府県:address 住所:address 電話番号:phone メールアドレス:email 生年月日:birth_date 性別:gender');

CREATE TABLE 注文 AS
SELECT (100000000000 + num(i, 'on', 899999999999))::bigint AS 注文番号, day(i) AS 注文日時, num(i, 'am', 90000) AS 合計金額,
	pick(i, 'pm', '代引 カード 振込') AS 支払方法, sei(i) || ' ' || mei(i) AS お届け先氏名, pref(i) || city(i) || town(i) AS お届け先住所,
	mobile(i) AS お届け先電話番号, pick(i, 'st', '受付 出荷済 完了') AS ステータス, CASE WHEN i % 5 = 0 THEN '玄関前に置いてください' END AS 備考,
	company(i) AS 配送業者名, digits(i, 'sl', 12) AS 送り状番号
FROM generate_series(1, 300) i;
SELECT is_true('注文', 'お届け先氏名:name お届け先住所:address お届け先電話番号:phone');

CREATE TABLE order_items AS
SELECT i AS line_no, digits(i, 'o12', 12) AS order_no, jan(i) AS jan_code, goods(i) AS product_name, num(i, 'q', 9) + 1 AS quantity,
	num(i, 'up', 9000) AS unit_price, pick(i, 'cl', '赤 白 黒 青') AS color_name, wide(digits(i, 'lot', 8)) AS lot_no
FROM generate_series(1, 400) i;

CREATE TABLE products AS
SELECT i AS product_id, tel(i) AS sku, jan(i) AS barcode, goods(i) AS name, pick(i, 'gk', 'ヤマダニシキ マンゴー ニンギョウ コシヒカリ マウス') AS name_kana,
	goods(i) || 'をお届けします。' AS description, pick(i, 'br', 'ヨシダ ヤマモト ミドリ アサヒ') AS brand_name, '/img/' || i || '.jpg' AS image,
	digits(i, 'mn', 3) || '-' || digits(i, 'mm', 4) AS model_no, 'icon@' || 1 + i % 3 || 'x.png' AS icon_file,
	pick(i, 'pr', '青森県 長野県 宮崎県 愛媛県') AS 産地, pick(i, 'mk', '山田 佐藤製作所 北野') AS メーカー名, 0.5 * i AS weight,
	pick(i, 'tg', 'メンズ レディース') AS target
FROM generate_series(1, 200) i;

CREATE TABLE suppliers AS
SELECT i AS supplier_id, company(i) AS company_name, 'T' || digits(i, 'inv', 13) AS invoice_reg_no, sei(i) || mei(i) AS contact_name,
	email(i) AS contact_email, tel(i) AS contact_tel, 'https://example.com/' || i AS url, pick(i, 'bk', 'みずほ銀行 北洋銀行 横浜銀行') AS bank_name,
	num(i, 'py', 60) AS payment_days, day(i) AS created_at
FROM generate_series(1, 60) i;
SELECT is_true('suppliers', 'contact_name:name contact_email:email contact_tel:phone');

CREATE TABLE 店舗 AS
SELECT i AS 店舗コード, pick(i, 'sn', '銀座店 梅田店 栄店') || i AS 店舗名, pref(i) || city(i) || town(i) AS 所在地, tel(i) AS 電話番号,
	'10:00-20:00' AS 営業時間, sei(i) || mei(i) AS 店長名, 35 + i / 100.0 AS 緯度, 139 + i / 100.0 AS 経度
FROM generate_series(1, 80) i;
SELECT is_true('店舗', '店長名:name');

CREATE TABLE warehouses AS
SELECT i AS id, 'WH' || i AS code, pick(i, 'wh', '関東倉庫 関西倉庫') || i AS name, zip(i) AS postal_code, pref(i) || city(i) || town(i) AS address, tel(i) AS tel,
	'A-' || i || '-3' AS location
FROM generate_series(1, 40) i;

CREATE DOMAIN personal_text AS text;
CREATE TABLE employees AS
SELECT 'E' || digits(i, 'en', 5) AS employee_no, (sei(i) || ' ' || mei(i))::personal_text AS full_name, romaji(i) AS name_romaji, email(i)::varchar(100) AS email,
	digits(i, 'ex', 4) AS extension_no, day(i)::date AS hire_date, pick(i, 'dp', '総務部 営業部 開発部') AS department_name,
	pick(i, 'jt', '部長 課長 主任') AS job_title, checked(digits(i, 'my', 11), 'my')::bigint AS my_number,
	pick(i, 'bk', 'みずほ銀行 北洋銀行') AS bank_name, pick(i, 'bb', '本店 新宿支店') AS branch_name, digits(i, 'ac', 7) AS account_number,
	kana(i) AS account_holder, num(i, 'sal', 500000) AS salary, mobile(i) AS emergency_contact_tel
FROM generate_series(1, 120) i;
SELECT is_true('employees', 'full_name:name name_romaji:name email:email my_number:my_number account_number:bank_account account_holder:name emergency_contact_tel:phone');

CREATE TABLE staff_accounts AS
SELECT i AS id, pick(i, 'lg', 'tsuzuki msato yamada k_ito') || i AS login_id, md5(i::text) AS password_hash, pick(i, 'dn', 'たろう ハナ K') || i AS display_name,
	pick(i, 'rl', 'admin editor viewer') AS role_name, day(i) AS last_login_at, ('203.0.113.' || num(i, 'ip', 255))::inet AS last_login_ip,
	num(i, 'fc', 5) AS failed_count, 'https://cdn.example.com/a/' || i || '.png' AS avatar_url, day(i) AS password_changed_at
FROM generate_series(1, 50) i;
SELECT is_true('staff_accounts', 'login_id:username password_hash:password display_name:username last_login_ip:ip_address avatar_url:photo');

CREATE TABLE access_logs AS
SELECT i::bigint AS id, day(i) AS accessed_at, num(i, 'a', 220) + 1 || '.' || num(i, 'b', 255) || '.' || num(i, 'c', 255) || '.' || num(i, 'd', 255) AS remote_addr,
	'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0.0.0' AS user_agent, '/items/' || i AS path, pick(i, 'sc', '200 301 404 500') AS status_code,
	'https://example.com/' AS referer, md5(i || 's') AS session_id, num(i, 'v1', 9) || '.' || num(i, 'v2', 20) || '.' || num(i, 'v3', 9) || '.' || num(i, 'v4', 99) AS app_version,
	'10.0.' || num(i, 'h', 4) || '.' || num(i, 'g', 20) AS server_ip
FROM generate_series(1, 500) i;
SELECT is_true('access_logs', 'remote_addr:ip_address');

CREATE TABLE payments AS
SELECT i AS payment_id, pick(i, 'pm', 'card bank cod') AS method, 'tok_' || md5(i::text) AS card_token, romaji(i) AS card_holder_name, digits(i, 'l4', 4) AS card_last4,
	pick(i, 'cb', 'VISA JCB AMEX') AS card_brand, num(i, 'pa', 50000) AS amount, digits(i, 'au', 6) AS authorization_code, digits(i, 'tx', 16) AS transaction_no,
	day(i) AS paid_at
FROM generate_series(1, 300) i;
SELECT is_true('payments', 'card_holder_name:name');

CREATE TABLE settings_old AS
SELECT i AS id, pick(i, 'k', 'a b c') AS key1, checked('4' || digits(i, 'cd', 14), 'card') AS val1, '4' || digits(i, 'ce', 15) AS val2, digits(i, 'cf', 13) AS val3
FROM generate_series(1, 150) i;
SELECT is_true('settings_old', 'val1:credit_card');

CREATE TABLE shipments AS
SELECT i AS shipment_id, digits(i, 'tr', 12) AS tracking_number, pick(i, 'ca', 'ヤマト運輸 佐川急便 日本郵便') AS carrier_name, sei(i) || mei(i) || '様' AS recipient_name,
	'〒' || zip(i) || ' ' || pref(i) || city(i) || town(i) AS recipient_address, zip(i) AS recipient_zip, tel(i) AS recipient_tel, num(i, 'w', 30) AS weight, day(i) AS shipped_at,
	pick(i, 'tz', '午前 14-16 18-20') AS time_zone_name
FROM generate_series(1, 300) i;
SELECT is_true('shipments', 'recipient_name:name recipient_address:address recipient_zip:postal_code recipient_tel:phone');

CREATE TABLE inquiries AS
SELECT i AS inquiry_id, sei(i) || ' ' || mei(i) AS お名前, email(i) AS メール, mobile(i) AS 電話, pick(i, 'sj', '返品について 在庫について') AS 件名,
	'商品番号' || digits(i, 'sh', 11) || 'について教えてください。' AS お問い合わせ内容, day(i) AS 受付日時, pick(i, 'as', '対応中 完了') AS 対応状況
FROM generate_series(1, 120) i;
SELECT is_true('inquiries', 'お名前:name メール:email 電話:phone');

CREATE TABLE reviews AS
SELECT i AS review_id, pick(i, 'nn', 'みかん ねこ大好き tk88 ゆう') || i AS nickname, 1 + i % 5 AS rating, pick(i, 'ti', '良い品です 届くのが遅い') AS title, goods(i) || 'を買いました' AS body, i AS product_id
FROM generate_series(1, 100) i;
SELECT is_true('reviews', 'nickname:username');

CREATE TABLE coupons AS
SELECT i AS id, digits(i, 'cp', 3) || '-' || digits(i, 'cq', 4) AS coupon_code, pick(i, 'cn', '春の感謝祭 新生活応援') AS coupon_name, 100 * i AS discount, day(i) AS expires_at
FROM generate_series(1, 50) i;

CREATE TABLE mail_templates AS
SELECT i AS id, 'tpl_' || i AS template_name, 'ご注文ありがとうございます' AS mail_subject, 'お客様各位' AS mail_body, 'text/html' AS mail_format, true AS mail_enabled
FROM generate_series(1, 20) i;

CREATE TABLE mail_logs AS
SELECT i AS id, email(i) AS sent_to, 'ご注文ありがとうございます' AS subject, day(i) AS sent_at, '<' || md5(i::text) || '@mail.example.com>' AS message_id, 250 AS smtp_code
FROM generate_series(1, 200) i;
SELECT is_true('mail_logs', 'sent_to:email');

CREATE TABLE devices AS
SELECT i AS id, 'レジ' || i AS device_name, pick(i, 'dm', 'iPhone12 Pixel8') AS phone_model, num(i, 'o', 9) || '.1.0.' || i AS os_version,
	num(i, 'f1', 9) || '.' || num(i, 'f2', 30) || '.' || num(i, 'f3', 9) || '.' || num(i, 'f4', 9) AS firmware, 'SN' || digits(i, 'se', 9) AS serial_no,
	'00:1b:' || digits(i, 'm1', 2) || ':' || digits(i, 'm2', 2) || ':00:01' AS mac_address, digits(i, 'im', 15) AS imei
FROM generate_series(1, 60) i;

CREATE TABLE files AS
SELECT i AS id, pick(i, 'fn', '請求書 見積書') || i || '.pdf' AS file_name, '/var/data/' || i AS file_path, 'application/pdf' AS mime_type, md5(i::text) AS checksum, num(i, 's', 99999) AS size,
	pick(i, 'sv', 'web01 db02') AS host_name
FROM generate_series(1, 80) i;

CREATE TABLE import_raw AS
SELECT i AS id, sei(i) || mei(i) AS col_a, pref(i) || city(i) || wide(town(i)) AS col_b, wide(tel(i)) AS col_c, email(i) AS col_d, digits(i, 'r12', 12) AS col_e, jan(i) AS col_f,
	goods(i) AS col_g, company(i) AS col_h, digits(i, 'r7', 7) AS col_i, wide(checked(digits(i, 'mz', 11), 'my')) AS col_j
FROM generate_series(1, 200) i;
SELECT is_true('import_raw', 'col_a:name col_b:address col_c:phone col_d:email col_j:my_number');

CREATE TABLE 取引企業 AS
SELECT i AS 企業コード, company(i) AS 会社名, pick(i, 'ck', 'ヤマダショウジ サトウセイサクショ ミドリ') AS 会社名カナ, digits(i, 'hj', 13) AS 法人番号, pref(i) || city(i) || town(i) AS 本社所在地,
	tel(i) AS 代表電話, pick(i, 'gy', '小売 卸売') AS 業種名, 1000 * i AS 資本金
FROM generate_series(1, 90) i;

CREATE TABLE 支払調書 AS
SELECT i AS 番号, wide(checked(digits(i, 'mk', 11), 'my')) AS 個人番号, sei(i) || mei(i) AS 支払を受ける者の氏名, num(i, 'kg', 900000) AS 支払金額, 2024 AS 年度
FROM generate_series(1, 70) i;
SELECT is_true('支払調書', '個人番号:my_number 支払を受ける者の氏名:name');

CREATE TABLE app_users AS
SELECT i AS id, pick(i, 'un', 'neko inu tori') || i AS "userName", email(i) AS "mailAddress", mobile(i) AS "phoneNo", to_char(born(i), 'YYYY/MM/DD') AS birthday,
	replace(zip(i), '-', '') AS "zipCd", true AS "isActive", day(i) AS "lastLoginAt", md5(i || 'd') AS "deviceToken", 'ja-JP' AS "localeName",
	jsonb_build_object('theme', 'dark', 'nickname', 'neko' || i, 'address', jsonb_build_object('zip', zip(i), 'line', town(i))) AS profile,
	ARRAY[email(i), email(i + 1)] AS contacts, ARRAY['sale', 'new'] AS tags
FROM generate_series(1, 150) i;
SELECT is_true('app_users', 'userName:username mailAddress:email phoneNo:phone birthday:birth_date zipCd:postal_code profile:postal_code contacts:email');

CREATE TABLE events AS
SELECT i AS id, 'order.created' AS event_type, pick(i, 'ev', 'web app') AS source_name,
	json_build_object('order_no', digits(i, 'jo', 12), 'items', json_build_array(json_build_object('jan', jan(i), 'name', goods(i), 'qty', 1))) AS payload, day(i) AS occurred_at
FROM generate_series(1, 100) i;

CREATE TABLE prefectures AS
SELECT n AS prefecture_code, name AS prefecture_name, '関東' AS region_name
FROM unnest(ARRAY['北海道', '青森県', '東京都', '神奈川県', '千葉県', '宮崎県', '福岡県']) WITH ORDINALITY AS p(name, n);

CREATE TABLE 郵便番号マスタ AS
SELECT replace(zip(i), '-', '') AS 郵便番号, pref(i) AS 都道府県名, city(i) AS 市区町村名, pick(i, 'cy', '本町 栄 若葉台') AS 町域名, pick(i, 'ck', 'ホンチョウ サカエ') AS 町域名カナ
FROM generate_series(1, 300) i;

CREATE TABLE newsletter AS
SELECT i AS id, email(i) AS mail_addr, day(i) AS subscribed_at, pick(i, 'so', 'top cart') AS source, i % 2 AS mail_error_count
FROM generate_series(1, 100) i;
SELECT is_true('newsletter', 'mail_addr:email');

CREATE TABLE gift_addresses AS
SELECT i AS id, sei(i) || ' ' || mei(i) AS atena, zip(i) AS yubin_no, pref(i) || city(i) || town(i) AS jyusho, tel(i) AS tel1, mobile(i) AS tel2, pick(i, 'ns', '御祝 内祝') AS noshi
FROM generate_series(1, 90) i;
SELECT is_true('gift_addresses', 'atena:name yubin_no:postal_code jyusho:address tel1:phone tel2:phone');

CREATE TABLE reservations AS
SELECT i AS id, sei(i) || mei(i) AS guest, 1 + i % 8 AS party_size, mobile(i) AS contact, day(i) AS reserved_at, 'T' || i % 20 AS table_no
FROM generate_series(1, 110) i;
SELECT is_true('reservations', 'guest:name contact:phone');

CREATE TABLE お客様カード AS
SELECT i AS ばんごう, sei(i) || mei(i) AS おなまえ, kana(i) AS ふりがな, pref(i) || city(i) || town(i) AS じゅうしょ, tel(i) AS でんわばんごう, born(i) AS たんじょうび, pick(i, 'kb', 'A B') AS くぶん
FROM generate_series(1, 60) i;
SELECT is_true('お客様カード', 'おなまえ:name ふりがな:name じゅうしょ:address でんわばんごう:phone たんじょうび:birth_date');

-- nothing in it yet
CREATE TABLE applicants (id integer, applicant_name text NOT NULL, email text, tel text, resume_file text, birthday date, desired_job_name text, applied_on date);
SELECT is_true('applicants', 'applicant_name:name email:email tel:phone birthday:birth_date');

DROP TABLE IF EXISTS found;
CREATE TEMP TABLE found AS SELECT * FROM retention.detect_pii() WHERE relation::text !~ 'truth';

-- ----------------------------------------------------------- what was found

SELECT cmp_ok(count(*), '>=', 30::bigint, 'the schema has 30 tables or more')
FROM pg_class WHERE relnamespace = 'shop'::regnamespace AND relkind = 'r' AND relname <> 'truth';

SELECT diag('missed: ' || t.relation || '.' || t.column_name)
FROM truth t
WHERE NOT EXISTS (SELECT FROM found f WHERE f.relation = quote_ident(t.relation)::regclass AND f.column_name = t.column_name);
SELECT diag(format('false alarm: %s.%s is %s (%s), %s', f.relation, f.column_name, f.category, f.confidence, f.evidence))
FROM found f
WHERE NOT EXISTS (SELECT FROM truth t WHERE f.relation = quote_ident(t.relation)::regclass AND f.column_name = t.column_name);
SELECT diag(format('category: %s.%s is %s, not %s', f.relation, f.column_name, t.category, f.category))
FROM found f JOIN truth t ON f.relation = quote_ident(t.relation)::regclass AND f.column_name = t.column_name
WHERE f.category <> t.category;

SELECT count(*) AS hits FROM found f JOIN truth t ON f.relation = quote_ident(t.relation)::regclass AND f.column_name = t.column_name \gset
SELECT count(*) AS truths FROM truth \gset
SELECT count(*) AS founds FROM found \gset
SELECT count(*) AS columns FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relnamespace = 'shop'::regnamespace AND c.relkind = 'r' AND c.relname <> 'truth' AND a.attnum > 0 \gset
SELECT diag(format('%s columns, %s personal: recall %s, precision %s', :columns, :truths,
	round(:hits::numeric / :truths, 3), round(:hits::numeric / :founds, 3)));
SELECT cmp_ok(:hits::numeric / :truths, '>=', 0.95, 'recall');
SELECT cmp_ok(:hits::numeric / :founds, '>=', 0.9, 'precision');
SELECT cmp_ok(
	(SELECT count(*) FROM found f JOIN truth t ON f.relation = quote_ident(t.relation)::regclass
		AND f.column_name = t.column_name WHERE f.category = t.category)::numeric / :hits,
	'>=', 0.95, 'what was found is of the right category');

-- -------------------------------------------------------------- what is said

SELECT set_eq('SELECT relation, column_name, category, confidence, evidence, suggestion FROM retention.detect_pii() WHERE relation::text !~ ''truth''',
	'SELECT * FROM found', 'the same again');
SELECT is_empty('SELECT * FROM found WHERE confidence < 0.5 OR confidence > 1', 'confidence is between a half and one');
SELECT is_empty('SELECT * FROM found WHERE suggestion IS NULL', 'all of them can be scrubbed');
-- personal values have other characters than the words of evidence
SELECT is_empty($$
	SELECT f.* FROM found f, customers c
	WHERE strpos(f.evidence, c.email) > 0 OR strpos(f.evidence, c.phone_number) > 0
		OR strpos(f.evidence, c.last_name || c.first_name) > 0$$, 'no value is in the evidence');
SELECT matches(evidence, '^name: "mail"; values: 250 of 250 are e-mail addresses$', 'names and values are in the evidence')
FROM found WHERE relation = 'm_kokyaku'::regclass AND column_name = 'mail';
SELECT is(suggestion, $$SELECT retention.tag_pii('shop."お客様カード"', 'おなまえ', 'name', 'null');$$, 'a suggestion with names in kana')
FROM found WHERE relation = '"お客様カード"'::regclass AND column_name = 'おなまえ';
SELECT is(suggestion, $$SELECT retention.tag_pii('shop.customers', 'email', 'email', 'mask_email', clock => 'created_at');$$, 'a suggestion with a clock')
FROM found WHERE relation = 'customers'::regclass AND column_name = 'email';
SELECT is(suggestion, $$SELECT retention.tag_pii('shop.app_users', 'profile', 'postal_code', 'erase_json', params => '{"paths": ["address.zip", "address.line", "nickname"]}');$$, 'a suggestion for a document')
FROM found WHERE relation = 'app_users'::regclass AND column_name = 'profile';

SELECT * FROM finish();
