/*
 * Injects disk faults, power cuts and clock jumps into the real binary, for tests. Linux only.
 *
 * A test builds it (`cc -shared -fPIC`) and loads it with LD_PRELOAD. It wraps these calls: write, pwrite, pwrite64,
 * ftruncate, ftruncate64, fsync, fdatasync, unlink, clock_gettime. It also wraps send, writev and sendmsg, only to trace
 * HTTP messages on sockets or to fail before them.
 *
 *   FAULTS_FILES    selects the files whose path contains this text
 *   FAULTS_COMMAND  the command file. A test may replace it by rename, never in place, while the program runs. The
 *                   library reads it before each call that it may affect, so a replacement before a call is in effect.
 *   FAULTS_TRACE    the trace file. It gets a line for each call: "sequence call file result". No trace if absent.
 *
 * Each line of the file is a command. A new file replaces all commands of the old one except clock shifts.
 *
 *   clock realtime MS     shifts the wall clock, forward or backward
 *   clock monotonic MS    shifts the monotonic clock, which never goes back
 *   cut SEED              cuts the power now
 *   CALL FILE EFFECT ARGUMENT AFTER TIMES
 *
 * CALL is write, truncate, sync (fsync or fdatasync), fsync, fdatasync, request (the start of an HTTP/1 request) or
 * answer (the start of an HTTP/1 response). FILE is the end of the file's name, or `*`. AFTER is the number of calls to skip
 * first, TIMES the number of calls to affect then; -1 affects all. EFFECT is one of
 *
 *   fail ERRNO      the call fails and does nothing
 *   short 0         the call writes half of the bytes
 *   delay MS        the call is delayed
 *   cut SEED        the power is cut before the call
 *   cut_after SEED  the power is cut after the call and before it returns to the program
 *   forget 0        after the call, the page cache contains no page that the disk lost, so reads return the durable
 *                   content. (A program can request that by a call that cannot be wrapped, so a rule does it.)
 *
 * The model of the disk is the kernel's. A write goes to the page cache. It is durable after a later sync of its file
 * succeeds. A failed sync marks the pages clean: reads return them as written, but they are not on disk, and no later
 * sync writes them. Only another write of the same pages does. To open, rename or remove a file is durable at once. A
 * power cut sets each file back to its durable content and kills the process. SEED 0 drops all other content. Any
 * other SEED keeps a pseudo-random part of it, sector by sector.
 *
 * Memory-mapped files (SQLite's index of the write-ahead log) are not covered.
 *
 * The model of the disk is in disk.h and the commands are in rules.h. Both are included below.
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

/* Guards the disk and the rules. Calls that a signal handler may make never take it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static _Atomic uint64_t sequence;

static void trace_call(const char *call, const char *file, long result) {
    if (trace_fd < 0) return;
    char line[1280];
    int length = snprintf(line, sizeof line, "%llu %s %s %ld\n", (unsigned long long)atomic_fetch_add(&sequence, 1), call,
                          file, result);
    syscall(SYS_write, trace_fd, line, (size_t)length);
}

static void fail_hard(const char *why) {
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

/* Whether the file is selected, and its path. Takes no lock, because every write of every thread calls it. */
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
    trace_call(call, name_of(path), -error);
    pthread_mutex_unlock(&lock);
    errno = error;
    return -1;
}

static ssize_t write_at(int fd, const void *bytes, size_t count, off_t at, int placed) {
    char path[1024];
    if (!is_wanted(fd, path))
        return placed ? syscall(SYS_pwrite64, fd, bytes, count, at) : syscall(SYS_write, fd, bytes, count);
    pthread_mutex_lock(&lock);
    struct verdict verdict = apply_rules_and_wait(WRITE, path);
    if (verdict.error) return refused("write", path, verdict.error);
    if (verdict.shortened && count > 1) count /= 2;
    if (!placed) at = lseek(fd, 0, SEEK_CUR);
    save_durable(file_of(fd, path), fd, at, at + (off_t)count);
    ssize_t done = placed ? syscall(SYS_pwrite64, fd, bytes, count, at) : syscall(SYS_write, fd, bytes, count);
    int error = errno;
    trace_call("write", name_of(path), done);
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
    struct verdict verdict = apply_rules_and_wait(TRUNCATE, path);
    if (verdict.error) return refused("truncate", path, verdict.error);
    struct file *file = file_of(fd, path);
    struct stat now;
    if (!fstat(fd, &now) && size < now.st_size) save_durable(file, fd, size, now.st_size);
    int done = (int)syscall(SYS_ftruncate, fd, size), error = errno;
    trace_call("truncate", name_of(path), done);
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
    struct verdict verdict = apply_rules_and_wait(call, path);
    struct file *file = file_of(fd, path);
    if (verdict.error) {
        visit_pages(file, mark_lost, NULL);
        return refused(name, path, verdict.error);
    }
    uint64_t until = ++writes_and_syncs;
    struct stat now;
    if (fstat(fd, &now)) fail_hard("fstat failed");
    pthread_mutex_unlock(&lock);
    int done = (int)syscall(number, fd), error = errno;
    pthread_mutex_lock(&lock);
    if (done == 0) {
        visit_pages(file, is_synced, &until);
        /* A sync of another thread may have started later and ended earlier. It covers a newer size. */
        if (until > file->size_at) {
            file->size = now.st_size;
            file->size_at = until;
        }
    }
    if (verdict.forget) {
        struct drop_lost_context in = {fd, now.st_size};
        visit_pages(file, drop_lost_page, &in);
    }
    trace_call(name, name_of(path), done);
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
        /* Another file may reuse the inode. */
        pthread_mutex_lock(&lock);
        for (int i = 0; i < file_count; i++) {
            if (files[i]->inode != now.st_ino || files[i]->device != now.st_dev) continue;
            visit_pages(files[i], any, NULL);
            free(files[i]);
            files[i--] = files[--file_count];
        }
        trace_call("unlink", name_of(path), 0);
        pthread_mutex_unlock(&lock);
    }
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

/* ---- sockets ---- */

/* Applies rules to bytes for a socket if an HTTP/1 message starts with them. */
static void inspect_message(const void *bytes, size_t count) {
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
    struct verdict verdict = apply_rules_and_wait(answer ? ANSWER : REQUEST, from);
    trace_call(answer ? "answer" : "request", from, 0);
    if (verdict.cut_after) cut_power(verdict.seed);
    pthread_mutex_unlock(&lock);
}

ssize_t send(int fd, const void *bytes, size_t count, int flags) {
    inspect_message(bytes, count);
    return syscall(SYS_sendto, fd, bytes, count, flags, NULL, 0);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (count > 0) inspect_message(parts[0].iov_base, parts[0].iov_len);
    return syscall(SYS_writev, fd, parts, count);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    if (message->msg_iovlen > 0) inspect_message(message->msg_iov[0].iov_base, message->msg_iov[0].iov_len);
    return syscall(SYS_sendmsg, fd, message, flags);
}

/* ---- the clock ---- */

int clock_gettime(clockid_t clock, struct timespec *now) {
    struct stat command;
    /* A thread that holds the lock reads new commands itself. */
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

/* A command to cut the power takes effect without a call of the program. */
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
    /* The thread must not handle signals of the program. */
    sigset_t all, before;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (command_path && pthread_create(&thread, NULL, watch, NULL)) fail_hard("no thread");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}
