/* Writes down how much of each file is on disk: preloaded into every process whose power is to be cut.
 *
 * A line a file: device, inode and the bytes that were there when an fsync of it began; 0 when it was made. What is
 * beyond that is what a power cut may take, and tests/powercut/disk.py takes all of it. Names (made, renamed, removed)
 * are not followed: they count as on disk at once, which is kinder than a disk.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

typedef int (*open_call)(const char *, int, ...);
typedef int (*openat_call)(int, const char *, int, ...);
typedef int (*sync_call)(int);

static void *next_of(const char *name) { return dlsym(RTLD_NEXT, name); }

/* Opened each time: a process may close every descriptor that it does not know. */
static void note(const struct stat *file, long long size)
{
    char line[80];
    const char *path = getenv("UNSYNCED_LOG");
    int log, length;

    if (path == NULL || !S_ISREG(file->st_mode))
        return;
    log = ((open_call)next_of("open"))(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (log < 0)
        return;
    length = snprintf(line, sizeof line, "%llu %llu %lld\n", (unsigned long long)file->st_dev,
                      (unsigned long long)file->st_ino, size);
    if (write(log, line, length) != length)
        abort(); /* a cut that is wrong proves nothing */
    close(log);
}

static int synced(const char *name, int descriptor)
{
    struct stat file;
    int is_known = fstat(descriptor, &file) == 0;
    int said = ((sync_call)next_of(name))(descriptor);

    if (said == 0 && is_known)
        note(&file, file.st_size);
    return said;
}

int fsync(int descriptor) { return synced("fsync", descriptor); }

int fdatasync(int descriptor) { return synced("fdatasync", descriptor); }

/* A new file may have the inode of one that is gone. */
static int opened(int descriptor, int flags)
{
    struct stat file;

    if (descriptor >= 0 && flags & O_CREAT && fstat(descriptor, &file) == 0 && file.st_size == 0)
        note(&file, 0);
    return descriptor;
}

#define OPEN(name)                                                                   \
    int name(const char *path, int flags, ...)                                       \
    {                                                                                \
        va_list more;                                                                \
        va_start(more, flags);                                                       \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0;    \
        va_end(more);                                                                \
        return opened(((open_call)next_of(#name))(path, flags, mode), flags);        \
    }

#define OPENAT(name)                                                                 \
    int name(int at, const char *path, int flags, ...)                               \
    {                                                                                \
        va_list more;                                                                \
        va_start(more, flags);                                                       \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0;    \
        va_end(more);                                                                \
        return opened(((openat_call)next_of(#name))(at, path, flags, mode), flags);  \
    }

/* The engine's library is loaded so that it finds libc's own functions before ours. */
void *dlopen(const char *path, int mode)
{
    return ((void *(*)(const char *, int))next_of("dlopen"))(path, mode & ~RTLD_DEEPBIND);
}

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
