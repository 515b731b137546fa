# libbroker: all of the broker but its main, so that tests link the very objects that ship.
noinst_LTLIBRARIES += libbroker.la

libbroker_la_LIBADD = $(SQLITE_LIBS) $(SYSTEMD_LIBS) $(INIH_LIBS) -lm
libbroker_la_SOURCES = \
	$(END)

sbin_PROGRAMS += tern-broker

tern_broker_LDADD = libbroker.la libproto.la
tern_broker_SOURCES = \
	%D%/main.c \
	$(END)
