/* C's program for the cross-language tests: does what each line of standard input says, and answers with one line.
 *
 * The words, and the formula for the values, are the same in all languages; `driver.rs` describes them. */
#include <inttypes.h>
#include <shm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE INT64_C(30000000000)

/* What came of a line: goes behind the "= " or the "! ". */
static char answer[1024];

#define FAIL(...) return snprintf(answer, sizeof answer, __VA_ARGS__), 0

#define OK(call)                                                                              \
    do {                                                                                      \
        shm_status_t status_ = (call);                                                        \
        if (status_ != SHM_STATUS_OK)                                                         \
            FAIL("%s: %s: %s", #call, shm_status_name(status_), shm_last_error());            \
    } while (0)

enum kind { NONE, ARRAY, MUTEX, PROCESS_MUTEX, BARRIER };

/* What this process has open. */
struct held {
    enum kind kind;
    char name[256];
    shm_array_t array;
    shm_mutex_t mutex;
    shm_process_mutex_t process_mutex;
    shm_barrier_t barrier;
};

static struct held table[64];

/* The entry of this name, or a free one, whose kind is NONE. */
static struct held *entry(const char *name)
{
    struct held *free_one = NULL;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (table[i].kind != NONE && strcmp(table[i].name, name) == 0)
            return &table[i];
        if (table[i].kind == NONE && free_one == NULL)
            free_one = &table[i];
    }
    if (free_one == NULL) {
        fprintf(stderr, "the C program has too much open\n");
        exit(1);
    }
    snprintf(free_one->name, sizeof free_one->name, "%s", name);
    return free_one;
}

static const struct {
    const char *name;
    uint8_t code, bits;
} TYPES[] = {
    { "u8", SHM_TYPE_UINT, 8 },    { "i32", SHM_TYPE_INT, 32 },   { "i64", SHM_TYPE_INT, 64 },
    { "f32", SHM_TYPE_FLOAT, 32 }, { "f64", SHM_TYPE_FLOAT, 64 }, { "c128", SHM_TYPE_COMPLEX, 128 },
};

static shm_dtype_t type_of(const char *name)
{
    for (size_t i = 0; i < sizeof TYPES / sizeof TYPES[0]; i++)
        if (strcmp(TYPES[i].name, name) == 0)
            return shm_dtype(TYPES[i].code, TYPES[i].bits);
    fprintf(stderr, "the C program does not know the type %s\n", name);
    exit(1);
}

static int shape_of(const char *text, int64_t *shape)
{
    int ndim = 0;
    for (char *rest = (char *)text; ndim < 8; rest++) {
        shape[ndim++] = strtoll(rest, &rest, 10);
        if (*rest != 'x')
            break;
    }
    return ndim;
}

/* The bytes of the element at `place`, counted with the last index fastest. */
static void value(shm_dtype_t type, uint64_t place, int salt, void *bytes)
{
    int64_t n = (int64_t)((7 * place + 13 * (uint64_t)salt) % 101) + 3;
    int32_t word = (int32_t)((n - 50) * 1000003);
    int64_t two_words = (n - 50) * INT64_C(1000000000000037);
    float single = (float)(n - 50) / 7.0f;
    double parts[2] = { (double)(n - 50) / 7.0, (double)n / 11.0 };
    if (type.code == SHM_TYPE_UINT)
        *(uint8_t *)bytes = (uint8_t)n;
    else if (type.code == SHM_TYPE_INT)
        memcpy(bytes, type.bits == 32 ? (void *)&word : (void *)&two_words, type.bits / 8);
    else if (type.code == SHM_TYPE_FLOAT && type.bits == 32)
        memcpy(bytes, &single, 4);
    else
        memcpy(bytes, parts, type.bits / 8);
}

/* Calls for each element with its address; the number of elements that are not as expected. */
static uint64_t each(const shm_array_info_t *info, int salt, int write)
{
    uint64_t wrong = 0;
    for (uint64_t place = 0; place < info->length; place++) {
        char *address = info->data;
        uint64_t rest = place;
        for (int k = info->ndim - 1; k >= 0; k--) {
            address += info->strides[k] * (int64_t)(rest % (uint64_t)info->shape[k]);
            rest /= (uint64_t)info->shape[k];
        }
        char bytes[16];
        value(info->dtype, place, salt, bytes);
        if (write)
            memcpy(address, bytes, info->item_size);
        else
            wrong += memcmp(address, bytes, info->item_size) != 0;
    }
    return wrong;
}

static int write_array(const char *name, int salt)
{
    shm_array_info_t info = SHM_ARRAY_INFO_INIT;
    OK(shm_array_info(entry(name)->array, &info));
    each(&info, salt, 1);
    return 1;
}

static int create(const char *name, const char *type, const char *order, const char *text, int salt)
{
    int64_t shape[8];
    int ndim = shape_of(text, shape);
    struct held *one = entry(name);
    OK(shm_array_create(name, NULL, type_of(type), shape, ndim, *order == 'F' ? SHM_ORDER_F : SHM_ORDER_C, &one->array));
    one->kind = ARRAY;
    return write_array(name, salt);
}

static int check(const char *name, const char *type, const char *order, const char *text, int salt)
{
    struct held *one = entry(name);
    if (one->kind == NONE) {
        OK(shm_array_attach(name, NULL, &one->array));
        one->kind = ARRAY;
    }
    shm_array_info_t info = SHM_ARRAY_INFO_INIT;
    OK(shm_array_info(one->array, &info));
    shm_dtype_t wanted = type_of(type);
    int64_t shape[8];
    int ndim = shape_of(text, shape);
    if (info.dtype.code != wanted.code || info.dtype.bits != wanted.bits)
        FAIL("the type is %d with %d bits", info.dtype.code, info.dtype.bits);
    if (info.ndim != ndim || memcmp(info.shape, shape, sizeof shape[0] * (size_t)ndim) != 0)
        FAIL("the shape has %d dimensions and begins with %" PRId64, info.ndim, info.shape[0]);
    int64_t step = (int64_t)info.item_size;
    for (int i = 0; i < ndim; i++) {
        int k = *order == 'F' ? i : ndim - 1 - i;
        if (info.strides[k] != step)
            FAIL("the stride of dimension %d is %" PRId64 " and not %" PRId64, k, info.strides[k], step);
        step *= shape[k];
    }
    uint64_t wrong = each(&info, salt, 0);
    if (wrong != 0)
        FAIL("%" PRIu64 " of %" PRIu64 " elements have another value", wrong, info.length);
    return 1;
}

static int make(const char *kind, const char *name, int parties)
{
    struct held *one = entry(name);
    if (strcmp(kind, "mutex") == 0) {
        OK(shm_mutex_create(name, NULL, 0, &one->mutex));
        one->kind = MUTEX;
    } else if (strcmp(kind, "process-mutex") == 0) {
        OK(shm_process_mutex_create(name, NULL, &one->process_mutex));
        one->kind = PROCESS_MUTEX;
    } else {
        OK(shm_barrier_create(name, NULL, (uint32_t)parties, &one->barrier));
        one->kind = BARRIER;
    }
    return 1;
}

static int find(const char *kind, const char *name, struct held **found)
{
    struct held *one = *found = entry(name);
    if (one->kind != NONE)
        return 1;
    if (strcmp(kind, "mutex") == 0) {
        OK(shm_mutex_attach(name, 0, &one->mutex));
        one->kind = MUTEX;
    } else if (strcmp(kind, "process-mutex") == 0) {
        OK(shm_process_mutex_attach(name, &one->process_mutex));
        one->kind = PROCESS_MUTEX;
    } else {
        OK(shm_barrier_attach(name, &one->barrier));
        one->kind = BARRIER;
    }
    return 1;
}

static shm_status_t take(struct held *one, int64_t patience)
{
    if (one->kind == MUTEX)
        return patience == 0 ? shm_mutex_try_lock(one->mutex) : shm_mutex_lock_timeout_ns(one->mutex, patience);
    return patience == 0 ? shm_process_mutex_try_lock(one->process_mutex)
                         : shm_process_mutex_lock_timeout_ns(one->process_mutex, patience);
}

static int release(struct held *one)
{
    if (one->kind == MUTEX)
        OK(shm_mutex_unlock(one->mutex));
    else
        OK(shm_process_mutex_unlock(one->process_mutex));
    return 1;
}

/* Takes the lock and gives it up, and says in which state it was. */
static int lock(struct held *one, int64_t patience)
{
    shm_status_t status = take(one, patience);
    const char *state = "free";
    if (status == SHM_STATUS_BUSY) {
        strcpy(answer, "busy");
        return 1;
    }
    if (status == SHM_STATUS_OWNER_DIED) {
        state = "owner-died";
        status = one->kind == MUTEX ? shm_mutex_recover(one->mutex) : shm_process_mutex_recover(one->process_mutex);
    }
    OK(status);
    if (!release(one))
        return 0;
    strcpy(answer, state);
    return 1;
}

static int close_one(const char *name)
{
    struct held *one = entry(name);
    if (one->kind == ARRAY)
        OK(shm_array_detach(one->array));
    if (one->kind == MUTEX)
        OK(shm_mutex_detach(one->mutex));
    if (one->kind == PROCESS_MUTEX)
        OK(shm_process_mutex_detach(one->process_mutex));
    if (one->kind == BARRIER)
        OK(shm_barrier_detach(one->barrier));
    one->kind = NONE;
    return 1;
}

static int obey(const char *word, char rest[5][256])
{
    struct held *one;
    if (strcmp(word, "create") == 0)
        return create(rest[0], rest[1], rest[2], rest[3], atoi(rest[4]));
    if (strcmp(word, "check") == 0)
        return check(rest[0], rest[1], rest[2], rest[3], atoi(rest[4]));
    if (strcmp(word, "write") == 0)
        return write_array(rest[0], atoi(rest[2]));
    if (strcmp(word, "make") == 0)
        return make(rest[0], rest[1], atoi(rest[2]));
    if (strcmp(word, "close") == 0)
        return close_one(rest[0]);
    if (strcmp(word, "wait") == 0) {
        if (!find("barrier", rest[0], &one))
            return 0;
        OK(shm_barrier_wait_timeout_ns(one->barrier, PATIENCE, NULL));
        return 1;
    }
    if (!find(rest[0], rest[1], &one))
        return 0;
    if (strcmp(word, "hold") == 0) {
        OK(take(one, PATIENCE));
        return 1;
    }
    if (strcmp(word, "release") == 0)
        return release(one);
    if (strcmp(word, "lock") == 0)
        return lock(one, PATIENCE);
    if (strcmp(word, "try") == 0)
        return lock(one, 0);
    FAIL("the C program does not know the word %s", word);
}

int main(void)
{
    char line[2048], word[256];
    while (fgets(line, sizeof line, stdin) != NULL) {
        char rest[5][256] = { "", "", "", "", "" };
        if (sscanf(line, "%255s %255s %255s %255s %255s %255s", word, rest[0], rest[1], rest[2], rest[3], rest[4]) < 1)
            continue;
        strcpy(answer, "done");
        int done = obey(word, rest);
        printf("%s %s\n", done ? "=" : "!", answer);
        fflush(stdout);
    }
    return 0;
}
