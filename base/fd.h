// SPDX-License-Identifier: MIT
/* fd.h - descriptors: writing all of something, handing one over, keeping nothing but one, and how many there may be */
#ifndef BASE_FD_H
#define BASE_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/** fd_open_std() - opens /dev/null for those of 0, 1 and 2 that are closed, so that nothing of ours gets such a number.
 * First thing in main(). Return: false if that failed */
bool fd_open_std(void);

/** fd_keep_only() - closes every descriptor but 2 and @keep (above 2); 0 and 1 lead to /dev/null from then on, so that no
 * file can become them. For a process just forked. */
void fd_keep_only(int keep);

/** fd_write_all() - blocks until all @len bytes are written. Return: 0; -1 and errno, with some of them written */
int fd_write_all(int fd, const void *data, size_t len);

/** fd_limit_raise() - lets this process have @want descriptors, or as many as its hard limit allows; never fewer than before
 * Return: how many it may have now; 0 if that can't be told */
size_t fd_limit_raise(size_t want);

/** fd_hung_up() - has the other end of a socket or pipe gone, or is it broken? Tells an end from an empty packet. */
bool fd_hung_up(int fd);

/* Room for one descriptor beside a message. */
union fd_room {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int))];
};

/** fd_pass() - makes @msg carry @fd (borrowed); @room must live until it is sent */
void fd_pass(struct msghdr *msg, union fd_room *room, int fd);
/** fd_passed() - the first descriptor that came with @msg (the caller's from now on), -1 if none; closes the others, for
 * which the padding of the control data may have left room */
int fd_passed(struct msghdr *msg);

#endif
