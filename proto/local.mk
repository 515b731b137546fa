# libproto: what all programs share. base/ knows nothing of tern; the rest is the protocol.
noinst_LTLIBRARIES += libproto.la

libproto_la_LIBADD = $(ZMQ_LIBS) $(MSGPACK_LIBS) $(SYSTEMD_LIBS) $(INIH_LIBS)
libproto_la_SOURCES = \
	%D%/address.c \
	%D%/address.h \
	%D%/addresses.c \
	%D%/addresses.h \
	%D%/base/base.c \
	%D%/base/base.h \
	%D%/base/buf.c \
	%D%/base/buf.h \
	%D%/base/clock.c \
	%D%/base/clock.h \
	%D%/base/conf.c \
	%D%/base/conf.h \
	%D%/base/list.h \
	%D%/base/log.c \
	%D%/base/log.h \
	%D%/base/map.c \
	%D%/base/map.h \
	%D%/base/nearest.c \
	%D%/base/nearest.h \
	%D%/base/options.c \
	%D%/base/options.h \
	%D%/base/parse.c \
	%D%/base/parse.h \
	%D%/base/rng.h \
	%D%/base/service.c \
	%D%/base/service.h \
	%D%/base/utf8.c \
	%D%/base/utf8.h \
	%D%/greeting.c \
	%D%/greeting.h \
	%D%/guard.c \
	%D%/guard.h \
	%D%/guard_box.c \
	%D%/guard_box.h \
	%D%/key.c \
	%D%/key.h \
	%D%/limits.h \
	%D%/message.c \
	%D%/message.h \
	%D%/name.c \
	%D%/name.h \
	%D%/need.c \
	%D%/need.h \
	%D%/numbered.c \
	%D%/numbered.h \
	%D%/output.c \
	%D%/output.h \
	%D%/runner_records.h \
	%D%/socket.c \
	%D%/socket.h \
	%D%/unsent.c \
	%D%/unsent.h \
	%D%/validate.c \
	%D%/validate.h \
	%D%/words.c \
	%D%/words.h \
	%D%/zap.c \
	%D%/zap.h \
	$(END)

EXTRA_DIST += \
	$(END)
