/* conf.h - an INI file, read through inih, with errors that name file and line. */
#ifndef TERN_CONF_H
#define TERN_CONF_H

#include "proto/base/base.h"

/* One key. section is "" before the first [section]. A negative return ends the reading with the
 * text in *ret_error. */
typedef int conf_fn(void *context, const char *section, const char *key, const char *value,
                    char **ret_error);

/* 0; -ENOENT when there is no such file; otherwise negative. On every failure *ret_error says what
 * and where
 * (`FILE:LINE: text`), owned by the caller. */
int conf_load(const char *path, conf_fn *set, void *context, char **ret_error);

#endif
