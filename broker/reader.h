/* reader.h - one thread that answers queries from the database, so that none of them slows a turn. */
#ifndef TERN_READER_H
#define TERN_READER_H

#include "proto/message.h"
#include "proto/socket.h"

struct reader;

int reader_start(struct reader **ret, const char *db_path, char **ret_error);
/* Waits for the thread; questions that wait are dropped. NULL is fine. Returns NULL. */
struct reader *reader_stop(struct reader *r);
/* Readable when reader_take has something. */
int reader_fd(const struct reader *r);
/* Copies what it needs. The answer's header will carry epoch and session. owner: see store_reader_answer. -EBUSY: too many wait,
 * of this connection or of all. */
int reader_ask(struct reader *r, const char *routing_id, uint64_t epoch, uint64_t session, const struct message *m,
               struct str owner);
/* The next answer, appended to ret_bytes. False when there is none. */
bool reader_take(struct reader *r, char *ret_routing_id, struct buf *ret_bytes);

/* Asks the thread for a sign of life; has it given one since it was last asked? Between two questions it does at once. */
void reader_ask_alive(struct reader *r);
bool reader_is_alive(struct reader *r);

#endif
