/* The rules: parsing of the command file, and their effect on a call. */

#define MAX_RULES 64

enum { WRITE = 1, TRUNCATE = 2, FSYNC = 4, FDATASYNC = 8, REQUEST = 16, ANSWER = 32 };
enum effect { FAIL, SHORT, DELAY, CUT, CUT_AFTER, FORGET };

struct rule {
    int calls;
    char file[64];
    enum effect effect;
    long argument, after, times;
};

/* The effect of the rules on a call. */
struct verdict {
    int error, shortened, cut, cut_after, forget;
    long seed, delay;
};

static struct rule rules[MAX_RULES];
static int rule_count;

static _Atomic ino_t command_inode;
static _Atomic long realtime_ms, monotonic_ms;

static int call_named(const char *name) {
    static const struct {
        const char *name;
        int calls;
    } known[] = {{"write", WRITE},     {"truncate", TRUNCATE},   {"sync", FSYNC | FDATASYNC}, {"fsync", FSYNC},
                 {"request", REQUEST}, {"fdatasync", FDATASYNC}, {"answer", ANSWER}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0) return known[i].calls;
    fail_hard("no such call");
    return 0;
}

static enum effect effect_named(const char *name) {
    static const char *const known[] = {"fail", "short", "delay", "cut", "cut_after", "forget"};
    for (int i = 0; i < 6; i++)
        if (strcmp(known[i], name) == 0) return (enum effect)i;
    fail_hard("no such effect");
    return FAIL;
}

/* Reads the command file if it is new. Callers hold the lock. */
static void refresh(void) {
    static char text[16384];
    struct stat now;
    if (!command_path || stat(command_path, &now) || now.st_ino == atomic_load(&command_inode)) return;
    int fd = open(command_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    ssize_t length = fstat(fd, &now) ? -1 : read(fd, text, sizeof text - 1);
    close(fd);
    if (length < 0) return;
    text[length] = 0;
    rule_count = 0;
    long cut = -1;
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));) {
        char call[16], effect[16];
        struct rule rule;
        long number;
        if (!*line) continue;
        if (sscanf(line, "clock realtime %ld", &number) == 1) {
            atomic_store(&realtime_ms, number);
        } else if (sscanf(line, "clock monotonic %ld", &number) == 1) {
            if (number > atomic_load(&monotonic_ms)) atomic_store(&monotonic_ms, number);
        } else if (sscanf(line, "cut %ld", &number) == 1) {
            cut = number;
        } else if (rule_count < MAX_RULES && sscanf(line, "%15s %63s %15s %ld %ld %ld", call, rule.file, effect,
                                                     &rule.argument, &rule.after, &rule.times) == 6) {
            rule.calls = call_named(call);
            rule.effect = effect_named(effect);
            rules[rule_count++] = rule;
        } else {
            fail_hard("no such command");
        }
    }
    atomic_store(&command_inode, now.st_ino);
    if (cut >= 0) cut_power(cut);
}

/* Applies the rules to a call. Callers hold the lock. */
static struct verdict apply_rules(int call, const char *path) {
    struct verdict verdict = {0};
    refresh();
    for (int i = 0; i < rule_count; i++) {
        struct rule *rule = &rules[i];
        if (!(rule->calls & call) || (strcmp(rule->file, "*") && !ends_with(path, rule->file))) continue;
        if (rule->after > 0) {
            rule->after--;
            continue;
        }
        if (rule->times == 0) continue;
        if (rule->times > 0) rule->times--;
        switch (rule->effect) {
            case FAIL: verdict.error = (int)rule->argument; break;
            case SHORT: verdict.shortened = 1; break;
            case DELAY: verdict.delay += rule->argument; break;
            case CUT: verdict.cut = 1, verdict.seed = rule->argument; break;
            case CUT_AFTER: verdict.cut_after = 1, verdict.seed = rule->argument; break;
            case FORGET: verdict.forget = 1; break;
        }
    }
    return verdict;
}

/* Applies the rules and waits for their delay. Callers hold the lock, which is released during the delay. */
static struct verdict apply_rules_and_wait(int call, const char *path) {
    struct verdict verdict = apply_rules(call, path);
    if (verdict.delay) {
        struct timespec left = {verdict.delay / 1000, verdict.delay % 1000 * 1000000};
        pthread_mutex_unlock(&lock);
        while (nanosleep(&left, &left) && errno == EINTR) {}
        pthread_mutex_lock(&lock);
    }
    if (verdict.cut) cut_power(verdict.seed);
    return verdict;
}
