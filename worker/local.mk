# libworker: all of the worker but its main, so that tests link the very objects that ship.
noinst_LTLIBRARIES += libworker.la

libworker_la_LIBADD = $(UV_LIBS) $(CURL_LIBS) $(JANSSON_LIBS) $(SYSTEMD_LIBS) $(INIH_LIBS) -lm
libworker_la_SOURCES = \
	%D%/asks.c \
	%D%/asks.h \
	%D%/call.c \
	%D%/call.h \
	%D%/capture.c \
	%D%/capture.h \
	%D%/cgroup.c \
	%D%/cgroup.h \
	%D%/child.c \
	%D%/child.h \
	%D%/command.c \
	%D%/command.h \
	%D%/command_spawn.c \
	%D%/command_spawn.h \
	%D%/commands.c \
	%D%/commands.h \
	%D%/coroutine.c \
	%D%/coroutine.h \
	%D%/coroutine_sanitizer.h \
	%D%/frame.c \
	%D%/frame.h \
	%D%/handler_echo.c \
	%D%/handler_exec.c \
	%D%/handler_http.c \
	%D%/handler_http_guard.c \
	%D%/handler_http_guard.h \
	%D%/handler_http_request.c \
	%D%/handler_http_request.h \
	%D%/handler_sha256.c \
	%D%/handler_sleep.c \
	%D%/handlers.c \
	%D%/handlers.h \
	%D%/holding.c \
	%D%/holding.h \
	%D%/http.c \
	%D%/http.h \
	%D%/job.c \
	%D%/job_ask.c \
	%D%/job_ask.h \
	%D%/job_checkpoint.c \
	%D%/job_children.c \
	%D%/job_log.c \
	%D%/job_log.h \
	%D%/job_progress.c \
	%D%/job_progress.h \
	%D%/job_text.c \
	%D%/job_text.h \
	%D%/keeper.c \
	%D%/keeper.h \
	%D%/keeper_asks.c \
	%D%/keeper_asks.h \
	%D%/keeper_lines.c \
	%D%/keeper_runs.c \
	%D%/keeper_state.h \
	%D%/launcher.c \
	%D%/launcher.h \
	%D%/leaving.c \
	%D%/leaving.h \
	%D%/link.c \
	%D%/link.h \
	%D%/link_asks.c \
	%D%/link_attempts.c \
	%D%/link_drain.c \
	%D%/link_state.h \
	%D%/loop.c \
	%D%/loop.h \
	%D%/loop_ask.c \
	%D%/loop_ask.h \
	%D%/loop_await.c \
	%D%/loop_await.h \
	%D%/loop_blocked.c \
	%D%/loop_blocked.h \
	%D%/loop_crash.c \
	%D%/loop_crash.h \
	%D%/loop_curl.c \
	%D%/loop_curl.h \
	%D%/loop_http.c \
	%D%/loop_http.h \
	%D%/loop_offload.c \
	%D%/loop_offload.h \
	%D%/loop_part.c \
	%D%/loop_part.h \
	%D%/loop_start.c \
	%D%/loop_start.h \
	%D%/loop_strand.c \
	%D%/loop_strand.h \
	%D%/loop_task.c \
	%D%/loop_task.h \
	%D%/mailbox.c \
	%D%/mailbox.h \
	%D%/module.c \
	%D%/module.h \
	%D%/modules.c \
	%D%/modules.h \
	%D%/modules_child.c \
	%D%/modules_child.h \
	%D%/pass.c \
	%D%/pass.h \
	%D%/part.c \
	%D%/part.h \
	%D%/pool.c \
	%D%/pool.h \
	%D%/pool_kind.h \
	%D%/pool_loop.c \
	%D%/pool_park.c \
	%D%/pool_process.c \
	%D%/pool_thread.c \
	%D%/recv_beat.c \
	%D%/recv_bye.c \
	%D%/recv_drain.c \
	%D%/recv_error.c \
	%D%/recv_hello_again.c \
	%D%/recv_recorded.c \
	%D%/recv_run.c \
	%D%/recv_stop.c \
	%D%/recv_take_back.c \
	%D%/recv_welcome.c \
	%D%/ring.c \
	%D%/ring.h \
	%D%/run.c \
	%D%/run.h \
	%D%/runner_process.c \
	%D%/runner_process.h \
	%D%/runners.c \
	%D%/runners.h \
	%D%/runners_ask.c \
	%D%/send_beat.c \
	%D%/send_bye.c \
	%D%/send_drain.c \
	%D%/send_given.c \
	%D%/send_hello.c \
	%D%/send_progress.c \
	%D%/send_result.c \
	%D%/send_started.c \
	%D%/sha256.c \
	%D%/sha256.h \
	%D%/slot.c \
	%D%/slot.h \
	%D%/task.c \
	%D%/task.h \
	%D%/tree.c \
	%D%/tree.h \
	%D%/usage.c \
	%D%/usage.h \
	%D%/worker_options.c \
	%D%/worker_options.h \
	%D%/zygote.c \
	%D%/zygote.h \
	%D%/zygote_link.c \
	%D%/zygote_wire.h \
	$(END)

sbin_PROGRAMS += tern-worker

# What handlers in modules call, and the objects with those of them that nothing else needs.
tern_worker_LDFLAGS = $(AM_LDFLAGS) -Wl,--export-dynamic-symbol='tern_*' -Wl,--undefined=tern_checkpoint \
	-Wl,--undefined=tern_progress -Wl,--undefined=tern_spawn
tern_worker_LDADD = libworker.la libproto.la
tern_worker_SOURCES = \
	%D%/main.c \
	$(END)

pkginclude_HEADERS += %D%/handler.h
