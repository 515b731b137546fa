# libbroker: all of the broker but its main, so that tests link the very objects that ship.
noinst_LTLIBRARIES += libbroker.la

libbroker_la_LIBADD = $(SQLITE_LIBS) $(SYSTEMD_LIBS) $(INIH_LIBS) -lm
libbroker_la_SOURCES = \
	%D%/advise.c \
	%D%/advise.h \
	%D%/broker.c \
	%D%/broker.h \
	%D%/backup.c \
	%D%/backup.h \
	%D%/broker_options.c \
	%D%/broker_options.h \
	%D%/change.c \
	%D%/change.h \
	%D%/children.c \
	%D%/children.h \
	%D%/class.c \
	%D%/class.h \
	%D%/dispatch.c \
	%D%/dispatch.h \
	%D%/grant.c \
	%D%/grant.h \
	%D%/grants.c \
	%D%/grants.h \
	%D%/job.c \
	%D%/job.h \
	%D%/keys.c \
	%D%/keys.h \
	%D%/lease.c \
	%D%/lease.h \
	%D%/loop.c \
	%D%/loop.h \
	%D%/measure.c \
	%D%/measure.h \
	%D%/needs.c \
	%D%/needs.h \
	%D%/old_workers.c \
	%D%/old_workers.h \
	%D%/open_jobs.c \
	%D%/open_jobs.h \
	%D%/outbox.c \
	%D%/outbox.h \
	%D%/peer.c \
	%D%/peer.h \
	%D%/quota.c \
	%D%/quota.h \
	%D%/ranges.c \
	%D%/ranges.h \
	%D%/reader.c \
	%D%/reader.h \
	%D%/rebalance.c \
	%D%/rebalance.h \
	%D%/recv.c \
	%D%/recv.h \
	%D%/recv_admin.c \
	%D%/recv_advise.c \
	%D%/recv_await.c \
	%D%/recv_checkpoint.c \
	%D%/recv_hello.c \
	%D%/recv_progress.c \
	%D%/recv_query.c \
	%D%/recv_result.c \
	%D%/recv_spawn.c \
	%D%/recv_submit.c \
	%D%/recv_wait.c \
	%D%/recv_why.c \
	%D%/recv_worker.c \
	%D%/retry.c \
	%D%/retry.h \
	%D%/roles.c \
	%D%/roles.h \
	%D%/route.c \
	%D%/route.h \
	%D%/sketch.c \
	%D%/sketch.h \
	%D%/store.c \
	%D%/store.h \
	%D%/store_account.c \
	%D%/store_checkpoint.c \
	%D%/store_child.c \
	%D%/store_backup.c \
	%D%/store_backup.h \
	%D%/store_class.c \
	%D%/store_internal.h \
	%D%/store_job.c \
	%D%/store_measure.c \
	%D%/store_move.c \
	%D%/store_peer.c \
	%D%/store_progress.c \
	%D%/store_read.c \
	%D%/store_schema.c \
	%D%/store_upkeep.c \
	%D%/store_view.c \
	%D%/store_view.h \
	%D%/submit.h \
	%D%/text.h \
	%D%/tick.c \
	%D%/wait.c \
	%D%/wait.h \
	%D%/worker.c \
	%D%/worker.h \
	$(END)

sbin_PROGRAMS += tern-broker

tern_broker_LDADD = libbroker.la libproto.la
tern_broker_SOURCES = \
	%D%/main.c \
	$(END)
