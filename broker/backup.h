/* backup.h - `tern-broker backup FILE` and `tern-broker restore FILE`. */
#ifndef TERN_BACKUP_H
#define TERN_BACKUP_H

#include "proto/base/base.h"

/* True for the words that are commands of this file. */
bool backup_is_command(const char *word);
/* argv[1] is the command. The exit status. */
int backup_main(int argc, char **argv);

#endif
