# retention: built with PGXS against the PostgreSQL (15 or later) of PG_CONFIG.

EXTENSION = retention
MODULE_big = retention

# The version is written once, in the control file.
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" retention.control)

OBJS = \
	src/batch.o \
	src/capture.o \
	src/cascade.o \
	src/catalog.o \
	src/chunk.o \
	src/clock.o \
	src/codec.o \
	src/conflict.o \
	src/consent.o \
	src/cron.o \
	src/detect.o \
	src/detect_columns.o \
	src/detect_json.o \
	src/detect_sample.o \
	src/detect_suggest.o \
	src/drop.o \
	src/due.o \
	src/engine.o \
	src/estimate.o \
	src/explain.o \
	src/expr.o \
	src/generalize.o \
	src/guc.o \
	src/image.o \
	src/json_erase.o \
	src/json_path.o \
	src/label.o \
	src/launcher.o \
	src/links.o \
	src/method.o \
	src/parked.o \
	src/partition.o \
	src/path.o \
	src/pii_lexicon.o \
	src/pii_names.o \
	src/pii_people.o \
	src/pii_score.o \
	src/pii_shapes.o \
	src/pii_text.o \
	src/pii_text_shapes.o \
	src/pii_values.o \
	src/pii_words.o \
	src/pin.o \
	src/policy.o \
	src/policy_api.o \
	src/policy_change.o \
	src/policy_define.o \
	src/predicate.o \
	src/pseudonym.o \
	src/query.o \
	src/record.o \
	src/relation.o \
	src/restore.o \
	src/restore_rows.o \
	src/restoring.o \
	src/retention.o \
	src/round.o \
	src/rowmap.o \
	src/run.o \
	src/sandbox.o \
	src/schedule.o \
	src/scrub.o \
	src/search.o \
	src/shape.o \
	src/shmem.o \
	src/siphash.o \
	src/subject.o \
	src/subject_link.o \
	src/subxact.o \
	src/tag.o \
	src/tagging.o \
	src/taker.o \
	src/tally.o \
	src/trash.o \
	src/trash_purge.o \
	src/trash_scrub.o \
	src/trash_view.o \
	src/validators.o \
	src/waiters.o \
	src/width.o \
	src/worker.o

# The install script is made of its parts, in the order of their numbers.
SQL_PARTS := $(sort $(wildcard sql/install/*.sql))
INSTALL_SQL = retention--$(EXTVERSION).sql

DATA = $(wildcard sql/updates/*.sql)
DATA_built = $(INSTALL_SQL)

REGRESS = $(sort $(patsubst sql/%.sql,%,$(wildcard sql/*.sql)))
REGRESS_OPTS = --load-extension=pgcrypto --load-extension=retention

ISOLATION = $(sort $(patsubst test/isolation/specs/%.spec,%,\
	$(wildcard test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test/isolation --load-extension=pgcrypto \
	--load-extension=retention

TAP_TESTS = 1
PROVE_TESTS = test/t/*.pl

PG_CPPFLAGS = -DRETENTION_VERSION='"$(EXTVERSION)"'

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(INSTALL_SQL): $(SQL_PARTS) retention.control
	cat $(SQL_PARTS) > $@

# Debian's PGXS tracks no header dependencies.
$(OBJS): $(wildcard src/*.h) retention.control
