/*
 * A disk that fails, lies and loses power, and a clock that jumps: for tests of the real binary. Linux only.
 *
 * Built by a test (`cc -shared -fPIC`) and loaded with LD_PRELOAD. It stands between the program and these calls:
 * write, pwrite, pwrite64, ftruncate, ftruncate64, fsync, fdatasync, unlink, clock_gettime; and, only to be able to
 * trace them or to fail before them, send, writev and sendmsg on sockets.
 *
 *   FAULTS_FILES    which files: those whose path holds this text
 *   FAULTS_COMMAND  the file with the commands; may be replaced (by rename, never in place) while the program runs. It
 *                   is read before the next call that it could matter to, so what was put there before a call counts.
 *   FAULTS_TRACE    the file that takes a line for each call: "sequence call file result". Absent: no trace.
 *
 * A command is a line. A new file starts anew: nothing is left of the old one but how far clocks were moved.
 *
 *   clock realtime MS     the wall clock is so far off, in either direction
 *   clock monotonic MS    the monotonic clock is so far ahead; it never goes back
 *   cut SEED              the power is cut now
 *   CALL FILE EFFECT ARGUMENT AFTER TIMES
 *
 * CALL is write, truncate, sync (either kind), fsync, fdatasync, request (an HTTP/1 request begins to go out) or answer
 * (an HTTP/1 answer does). FILE is how the file's name ends, or `*`. AFTER says how many calls are let through first,
 * TIMES how many are struck then; -1: all. EFFECT is one of
 *
 *   fail ERRNO      the call fails and does nothing
 *   short 0         half is written
 *   delay MS        the call is made so much later
 *   cut SEED        the power is cut before the call
 *   cut_after SEED  the power is cut when the call was made, before the program hears of it
 *   forget 0        after the call, the page cache has forgotten what the disk lost: what is read is what is on it. (A
 *                   program may ask the system for that by a call that cannot be wrapped; so it is said here.)
 *
 * The disk's model is the kernel's. A write is in the page cache, and durable when a later sync of its file succeeds. A
 * sync that fails marks the pages clean: they are read as they were written, are not on disk, and no later sync brings
 * them there; only writing them again does. Opening, naming and removing files is durable at once. When the power is
 * cut, each file is set back to what was durable, and the process is killed. SEED 0 loses all that was not; any other
 * keeps a part of it, sector by sector, by a number made of it.
 *
 * What the program maps into its memory (SQLite's index of the log) is not looked at.
 *
 * The model of the disk is in disk.h, what commands mean in rules.h: both are parts of this file.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static const char *wanted, *command_path;
static int trace_fd = -1;

/* Guards the disk and the rules. Never taken by what a signal handler may call. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static _Atomic uint64_t sequence;

static void say(const char *call, const char *file, long result) {
    if (trace_fd < 0) return;
    char line[1280];
    int length = snprintf(line, sizeof line, "%llu %s %s %ld\n", (unsigned long long)atomic_fetch_add(&sequence, 1), call,
                          file, result);
    syscall(SYS_write, trace_fd, line, (size_t)length);
}

static void give_up(const char *why) {
    static const char head[] = "preload.c: ";
    syscall(SYS_write, 2, head, sizeof head - 1);
    syscall(SYS_write, 2, why, strlen(why));
    syscall(SYS_write, 2, "\n", (size_t)1);
    abort();
}

static const char *name_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int ends_with(const char *text, const char *end) {
    size_t length = strlen(text), wanted_length = strlen(end);
    return length >= wanted_length && strcmp(text + length - wanted_length, end) == 0;
}

#include "disk.h"
#include "rules.h"

/* The path of a file that we look at: without the lock, for this is asked of every write of any thread. */
static int is_wanted(int fd, char path[1024]) {
    struct stat now;
    if (!wanted || fstat(fd, &now) || !S_ISREG(now.st_mode)) return 0;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, 1023);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, wanted) != NULL;
}

/* ---- the calls ---- */

static int refused(const char *call, const char *path, int error) {
    say(call, name_of(path), -error);
    pthread_mutex_unlock(&lock);
    errno = error;
    return -1;
}

static ssize_t write_at(int fd, const void *bytes, size_t count, off_t at, int placed) {
    char path[1024];
    if (!is_wanted(fd, path))
        return placed ? syscall(SYS_pwrite64, fd, bytes, count, at) : syscall(SYS_write, fd, bytes, count);
    pthread_mutex_lock(&lock);
    struct verdict verdict = judge_and_wait(WRITE, path);
    if (verdict.error) return refused("write", path, verdict.error);
    if (verdict.shortened && count > 1) count /= 2;
    if (!placed) at = lseek(fd, 0, SEEK_CUR);
    touch(file_of(fd, path), fd, at, at + (off_t)count);
    ssize_t done = placed ? syscall(SYS_pwrite64, fd, bytes, count, at) : syscall(SYS_write, fd, bytes, count);
    int error = errno;
    say("write", name_of(path), done);
    if (verdict.cut_after) cut_power(verdict.seed);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

ssize_t write(int fd, const void *bytes, size_t count) { return write_at(fd, bytes, count, 0, 0); }
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) { return write_at(fd, bytes, count, at, 1); }
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) { return write_at(fd, bytes, count, at, 1); }

int ftruncate(int fd, off_t size) {
    char path[1024];
    if (!is_wanted(fd, path)) return (int)syscall(SYS_ftruncate, fd, size);
    pthread_mutex_lock(&lock);
    struct verdict verdict = judge_and_wait(TRUNCATE, path);
    if (verdict.error) return refused("truncate", path, verdict.error);
    struct file *file = file_of(fd, path);
    struct stat now;
    if (!fstat(fd, &now) && size < now.st_size) touch(file, fd, size, now.st_size);
    int done = (int)syscall(SYS_ftruncate, fd, size), error = errno;
    say("truncate", name_of(path), done);
    if (verdict.cut_after) cut_power(verdict.seed);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }

static int sync_by(int fd, int call, long number, const char *name) {
    char path[1024];
    if (!is_wanted(fd, path)) return (int)syscall(number, fd);
    pthread_mutex_lock(&lock);
    struct verdict verdict = judge_and_wait(call, path);
    struct file *file = file_of(fd, path);
    if (verdict.error) {
        each_page(file, loses, NULL);
        return refused(name, path, verdict.error);
    }
    uint64_t until = writes;
    struct stat now;
    if (fstat(fd, &now)) give_up("cannot look at a file");
    pthread_mutex_unlock(&lock);
    int done = (int)syscall(number, fd), error = errno;
    pthread_mutex_lock(&lock);
    if (done == 0) {
        each_page(file, is_synced, &until);
        file->size = now.st_size;
    }
    if (verdict.forget) {
        struct forgetting in = {fd, now.st_size};
        each_page(file, forgets, &in);
    }
    say(name, name_of(path), done);
    if (verdict.cut_after) cut_power(verdict.seed);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

int fsync(int fd) { return sync_by(fd, FSYNC, SYS_fsync, "fsync"); }
int fdatasync(int fd) { return sync_by(fd, FDATASYNC, SYS_fdatasync, "fdatasync"); }

int unlink(const char *path) {
    struct stat now;
    if (wanted && strstr(path, wanted) && !stat(path, &now)) {
        /* Its inode may be another file's soon. */
        pthread_mutex_lock(&lock);
        for (int i = 0; i < file_count; i++) {
            if (files[i]->inode != now.st_ino || files[i]->device != now.st_dev) continue;
            each_page(files[i], any, NULL);
            free(files[i]);
            files[i--] = files[--file_count];
        }
        say("unlink", name_of(path), 0);
        pthread_mutex_unlock(&lock);
    }
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

/* ---- what goes out ---- */

/* Looks at what a socket is given, if an HTTP/1 message begins with it. */
static void look(const void *bytes, size_t count) {
    char start[128];
    size_t length = count < sizeof start - 1 ? count : sizeof start - 1;
    if (!wanted || length < 12) return;
    memcpy(start, bytes, length);
    start[length] = 0;
    int answer = strncmp(start, "HTTP/1.", 7) == 0;
    char *end = strchr(start, '\r'), *version = strstr(start, " HTTP/1.");
    if (!answer && !(end && version && version < end)) return;
    char *from = answer ? start + 9 : start;
    char *blank = strpbrk(answer ? from : strchr(from, ' ') + 1, " \r");
    if (blank) *blank = 0;
    for (char *at = from; *at; at++)
        if (*at == ' ') *at = ':';
    pthread_mutex_lock(&lock);
    struct verdict verdict = judge_and_wait(answer ? ANSWER : REQUEST, from);
    say(answer ? "answer" : "request", from, 0);
    if (verdict.cut_after) cut_power(verdict.seed);
    pthread_mutex_unlock(&lock);
}

ssize_t send(int fd, const void *bytes, size_t count, int flags) {
    look(bytes, count);
    return syscall(SYS_sendto, fd, bytes, count, flags, NULL, 0);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (count > 0) look(parts[0].iov_base, parts[0].iov_len);
    return syscall(SYS_writev, fd, parts, count);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    if (message->msg_iovlen > 0) look(message->msg_iov[0].iov_base, message->msg_iov[0].iov_len);
    return syscall(SYS_sendmsg, fd, message, flags);
}

/* ---- the clock ---- */

int clock_gettime(clockid_t clock, struct timespec *now) {
    struct stat command;
    /* Whoever holds the lock reads new commands, or will. */
    if (command_path && !stat(command_path, &command) && command.st_ino != atomic_load(&command_inode) &&
        !pthread_mutex_trylock(&lock)) {
        refresh();
        pthread_mutex_unlock(&lock);
    }
    int done = (int)syscall(SYS_clock_gettime, clock, now);
    long ms = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE ? atomic_load(&realtime_ms)
              : clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE || clock == CLOCK_BOOTTIME
                  ? atomic_load(&monotonic_ms)
                  : 0;
    if (done == 0 && ms) {
        int64_t ns = now->tv_nsec + (int64_t)(ms % 1000) * 1000000;
        now->tv_sec += ms / 1000 + (ns >= 1000000000) - (ns < 0);
        now->tv_nsec = (long)(ns + (ns < 0) * 1000000000 - (ns >= 1000000000) * 1000000000);
    }
    return done;
}

/* A command to cut the power waits for nobody's call. */
static void *watch(void *unused) {
    for (;;) {
        struct timespec pause = {0, 1000000};
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&lock);
        refresh();
        pthread_mutex_unlock(&lock);
    }
    return unused;
}

__attribute__((constructor)) static void start(void) {
    command_path = getenv("FAULTS_COMMAND");
    const char *trace = getenv("FAULTS_TRACE");
    if (trace) trace_fd = open(trace, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    wanted = getenv("FAULTS_FILES");
    pthread_mutex_lock(&lock);
    refresh();
    pthread_mutex_unlock(&lock);
    /* Signals are the program's. */
    sigset_t all, before;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (command_path && pthread_create(&thread, NULL, watch, NULL)) give_up("no thread");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}
