/* The model of the disk: which content of each file is durable. Callers hold the lock. */

#define PAGE 4096
#define SECTOR 512
#define BUCKETS 1024
#define MAX_FILES 64

/* The durable content of a page that may differ from the page cache. */
struct page {
    struct page *next;
    off_t number;
    uint64_t written; /* sequence number of the newest write */
    int dirty;        /* a sync would make it durable */
    unsigned char durable[PAGE];
};

struct file {
    dev_t device;
    ino_t inode;
    off_t size;       /* on disk */
    uint64_t size_at; /* sequence number of the newest sync that set the size */
    char path[1024];
    struct page *pages[BUCKETS];
};

static struct file *files[MAX_FILES];
static int file_count;
static uint64_t writes_and_syncs;

static struct page *find_page(struct file *file, off_t number) {
    struct page *page = file->pages[number % BUCKETS];
    while (page && page->number != number) page = page->next;
    return page;
}

/* Saves the durable content of the pages of a range before they change. */
static void save_durable(struct file *file, int fd, off_t from, off_t to) {
    writes_and_syncs++;
    for (off_t number = from / PAGE; number * PAGE < to; number++) {
        struct page *page = find_page(file, number);
        if (!page) {
            page = calloc(1, sizeof *page);
            if (!page) fail_hard("no memory");
            page->number = number;
            if (pread(fd, page->durable, PAGE, number * PAGE) < 0) fail_hard("cannot read a page before its write");
            page->next = file->pages[number % BUCKETS];
            file->pages[number % BUCKETS] = page;
        }
        page->dirty = 1;
        page->written = writes_and_syncs;
    }
}

/* Visits a file's pages and frees those for which `done` returns true. */
static void visit_pages(struct file *file, int (*done)(struct page *, void *), void *with) {
    for (int bucket = 0; bucket < BUCKETS; bucket++) {
        for (struct page **at = &file->pages[bucket]; *at;) {
            struct page *page = *at;
            if (done(page, with)) {
                *at = page->next;
                free(page);
            } else {
                at = &page->next;
            }
        }
    }
}

static int is_synced(struct page *page, void *until) {
    return page->dirty && page->written <= *(uint64_t *)until;
}

static int mark_lost(struct page *page, void *unused) {
    (void)unused;
    page->dirty = 0;
    return 0;
}

static int any(struct page *page, void *unused) {
    (void)page, (void)unused;
    return 1;
}

static void write_durable(int fd, off_t size, const unsigned char *bytes, off_t from, off_t length) {
    if (from + length > size) length = size - from;
    if (length > 0) syscall(SYS_pwrite64, fd, bytes, (size_t)length, from);
}

struct drop_lost_context {
    int fd;
    off_t size;
};

static int drop_lost_page(struct page *page, void *with) {
    struct drop_lost_context *in = with;
    if (page->dirty) return 0;
    write_durable(in->fd, in->size, page->durable, page->number * PAGE, PAGE);
    return 1;
}

static uint64_t next_random(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Whether every thread of a stopped process has stopped. */
static int all_threads_stopped(pid_t process) {
    char path[64], line[512];
    snprintf(path, sizeof path, "/proc/%d/task", (int)process);
    DIR *tasks = opendir(path);
    if (!tasks) return 1;
    int still = 1;
    for (struct dirent *task; still && (task = readdir(tasks));) {
        if (task->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/proc/%d/task/%.16s/stat", (int)process, task->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t length = fd < 0 ? 0 : read(fd, line, sizeof line - 1);
        if (fd >= 0) close(fd);
        line[length > 0 ? length : 0] = 0;
        char *name = strrchr(line, ')');
        still = !name || name[2] == 'T';
    }
    closedir(tasks);
    return still;
}

/* Never returns. The lock is held, so no other thread writes. A second process resets the files while this one is
 * stopped, because no thread may read a file during the reset and report its content. */
static void cut_power(long seed) {
    uint64_t random = (uint64_t)seed;
    pid_t victim = getpid(), other = fork();
    if (other < 0) fail_hard("no process to cut the power");
    if (other > 0)
        for (;;) pause();
    kill(victim, SIGSTOP);
    for (struct timespec moment = {0, 1000000}; !all_threads_stopped(victim);) nanosleep(&moment, NULL);
    for (int i = 0; i < file_count; i++) {
        struct file *file = files[i];
        int fd = open(file->path, O_RDWR);
        struct stat now;
        if (fd < 0 || fstat(fd, &now) || now.st_ino != file->inode) continue;
        off_t size = file->size;
        if (seed && now.st_size > size && next_random(&random) % 2) size = now.st_size;
        for (int bucket = 0; bucket < BUCKETS; bucket++) {
            for (struct page *page = file->pages[bucket]; page; page = page->next) {
                /* Clean pages that a failed sync lost stay lost. Dirty sectors may be durable, in any order. */
                for (off_t at = 0; at < PAGE; at += SECTOR) {
                    if (seed && page->dirty && next_random(&random) % 2) continue;
                    write_durable(fd, size, page->durable + at, page->number * PAGE + at, SECTOR);
                }
            }
        }
        syscall(SYS_ftruncate, fd, size);
    }
    trace_call("cut", "*", seed);
    /* This process inherited the locks and sockets of the other one. */
    syscall(SYS_close_range, 3, ~0U, 0);
    kill(victim, SIGKILL);
    _exit(0);
}

/* The file of a descriptor. Its content is durable when it is first seen. */
static struct file *file_of(int fd, const char *path) {
    struct stat now;
    if (fstat(fd, &now)) fail_hard("fstat failed");
    for (int i = 0; i < file_count; i++)
        if (files[i]->inode == now.st_ino && files[i]->device == now.st_dev) return files[i];
    if (file_count == MAX_FILES) fail_hard("too many files");
    struct file *file = calloc(1, sizeof *file);
    if (!file) fail_hard("no memory");
    file->device = now.st_dev;
    file->inode = now.st_ino;
    file->size = now.st_size;
    snprintf(file->path, sizeof file->path, "%s", path);
    files[file_count++] = file;
    return file;
}
