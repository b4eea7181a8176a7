// A stand-in for the CUDA driver: the calls AdmNative imports, over malloc and memcpy. It counts every call, returns a chosen status at the
// n-th call of a chosen name, remembers the last launch, and knows its live objects. Statuses that spoil a context stay until it is
// released.
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int CUresult;
enum { SUCCESS = 0, INVALID_VALUE = 1, NO_DEVICE = 100, INVALID_DEVICE = 101, INVALID_PTX = 218, INVALID_HANDLE = 400, NOT_FOUND = 500 };
enum kind { CONTEXT = 1, MODULE, FUNCTION, DEVICE_MEMORY, HOST_MEMORY, STREAM, EVENT, GRAPH, EXECUTABLE, KINDS };

struct object { enum kind kind; struct object *next; struct object *owner; size_t bytes; char *text; };
struct counter { const char *name; long calls, fail_at; CUresult status; };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct counter counters[96];
static struct object *objects;
enum { MOST_DEVICES = 8 };
static int version = 12040, devices = 1, retained, held[MOST_DEVICES]; // primary contexts, in all and by device
static CUresult poison;
static struct object *primary[MOST_DEVICES];
static _Thread_local struct object *current;
static struct { unsigned shape[7]; void *stream; size_t bytes; unsigned char block[512]; } launch;

static struct counter *counter(const char *name) {
    int i = 0;
    while (counters[i].name && strcmp(counters[i].name, name)) i++;
    if (!counters[i].name) counters[i].name = strdup(name);
    return &counters[i];
}

// A spoiled context answers every call in it with the error that spoiled it, until it is released for the last time. Calls that need no context go on.
static int needs_context(const char *name) {
    static const char *const free_calls[] = { "cuGetError", "cuInit", "cuDriver", "cuDevice" };
    for (size_t i = 0; i < sizeof free_calls / sizeof *free_calls; i++) if (!strncmp(name, free_calls[i], strlen(free_calls[i]))) return 0;
    return 1;
}

static CUresult enter(const char *name) {
    pthread_mutex_lock(&lock);
    struct counter *c = counter(name);
    CUresult status = ++c->calls == c->fail_at ? c->status : needs_context(name) ? poison : SUCCESS;
    if (retained && (status == 700 || status == 702 || status == 710 || (status >= 714 && status <= 719))) poison = status;
    pthread_mutex_unlock(&lock);
    return status;
}

#define ENTER() do { CUresult s_ = enter(__func__); if (s_ != SUCCESS) return s_; } while (0)
#define NEED(condition, status) do { if (!(condition)) return status; } while (0)

static struct object *create(enum kind kind, struct object *owner, size_t bytes) {
    struct object *o = calloc(1, sizeof *o + bytes + 256);
    o->kind = kind, o->owner = owner, o->bytes = bytes;
    pthread_mutex_lock(&lock);
    o->next = objects, objects = o;
    pthread_mutex_unlock(&lock);
    return o;
}

static int live(const void *p, enum kind kind) {
    pthread_mutex_lock(&lock);
    struct object *o = objects;
    while (o && o != p) o = o->next;
    pthread_mutex_unlock(&lock);
    return o && o->kind == kind;
}

static CUresult destroy(void *p, enum kind kind) {
    NEED(live(p, kind), INVALID_HANDLE);
    pthread_mutex_lock(&lock);
    struct object **at = &objects;
    while (*at != p) at = &(*at)->next;
    struct object *o = *at;
    *at = o->next;
    pthread_mutex_unlock(&lock);
    free(o->text);
    free(o);
    return SUCCESS;
}

// Memory is the object's tail, at a multiple of 256 as the driver's is.
static void *bytes_of(struct object *o) { return (void *)(((uintptr_t)(o + 1) + 255) & ~(uintptr_t)255); }

static struct object *holder(uintptr_t address, size_t bytes, enum kind kind) {
    pthread_mutex_lock(&lock);
    struct object *o = objects;
    while (o && !(o->kind == kind && address >= (uintptr_t)bytes_of(o) && address + bytes <= (uintptr_t)bytes_of(o) + o->bytes)) o = o->next;
    pthread_mutex_unlock(&lock);
    return o;
}

// ---- for tests

void fake_reset(void) {
    while (objects) destroy(objects, objects->kind);
    for (int i = 0; counters[i].name; i++) counters[i].calls = counters[i].fail_at = 0;
    version = 12040, devices = 1, retained = 0, poison = SUCCESS, current = NULL;
    memset(held, 0, sizeof held);
    memset(primary, 0, sizeof primary);
    memset(&launch, 0, sizeof launch);
}

void fake_machine(int driver_version, int device_count) { version = driver_version, devices = device_count; }

void fake_fail(const char *call, long nth, CUresult status) {
    struct counter *c = counter(call);
    c->fail_at = c->calls + nth, c->status = status;
}

long fake_calls(const char *call) { return counter(call)->calls; }

long fake_total(void) {
    long sum = 0;
    for (int i = 0; counters[i].name; i++) sum += counters[i].calls;
    return sum;
}

long fake_live(void) {
    long n = 0;
    for (struct object *o = objects; o; o = o->next) n += o->kind != FUNCTION;
    return n;
}

size_t fake_launch(unsigned shape[7], void **stream, unsigned char *block) {
    memcpy(shape, launch.shape, sizeof launch.shape);
    *stream = launch.stream;
    memcpy(block, launch.block, launch.bytes);
    return launch.bytes;
}

// ---- the driver's calls

CUresult cuInit(unsigned flags) { ENTER(); NEED(flags == 0, INVALID_VALUE); return devices ? SUCCESS : NO_DEVICE; }
CUresult cuDriverGetVersion(int *v) { ENTER(); *v = version; return SUCCESS; }

static const struct { CUresult status; const char *name, *text; } names[] = {
    { 0, "CUDA_SUCCESS", "no error" }, { 1, "CUDA_ERROR_INVALID_VALUE", "invalid argument" }, { 2, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory" },
    { 700, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered" },
};

CUresult cuGetErrorName(CUresult status, const char **name) {
    ENTER();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) if (names[i].status == status) { *name = names[i].name; return SUCCESS; }
    return INVALID_VALUE;
}

CUresult cuGetErrorString(CUresult status, const char **text) {
    ENTER();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) if (names[i].status == status) { *text = names[i].text; return SUCCESS; }
    return INVALID_VALUE;
}

CUresult cuDeviceGetCount(int *count) { ENTER(); *count = devices; return SUCCESS; }
CUresult cuDeviceGet(int *device, int ordinal) { ENTER(); NEED(ordinal >= 0 && ordinal < devices, INVALID_DEVICE); *device = ordinal; return SUCCESS; }

CUresult cuDeviceGetName(char *name, int length, int device) {
    ENTER();
    NEED(device >= 0 && device < devices && length > 0, INVALID_DEVICE);
    snprintf(name, (size_t)length, device ? "Stand-in 80 no. %d" : "Stand-in 80", device);
    return SUCCESS;
}

CUresult cuDeviceGetAttribute(int *value, int attribute, int device) {
    ENTER();
    NEED(device >= 0 && device < devices, INVALID_DEVICE);
    switch (attribute) {
    case 1: *value = 1024; return SUCCESS;
    case 10: *value = 32; return SUCCESS;
    case 16: *value = 108; return SUCCESS;
    case 75: *value = 8; return SUCCESS;
    case 76: *value = 0; return SUCCESS;
    case 97: *value = 166912; return SUCCESS;
    default: *value = 1000 + attribute; return attribute > 0 && attribute < 150 ? SUCCESS : INVALID_VALUE;
    }
}

CUresult cuDeviceTotalMem_v2(size_t *bytes, int device) { ENTER(); NEED(device < devices, INVALID_DEVICE); *bytes = (size_t)5 << 32; return SUCCESS; }

CUresult cuDevicePrimaryCtxRetain(void **context, int device) {
    ENTER();
    NEED(device >= 0 && device < devices && device < MOST_DEVICES, INVALID_DEVICE);
    if (!held[device]++) primary[device] = create(CONTEXT, NULL, 0);
    retained++;
    *context = primary[device];
    return SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease_v2(int device) {
    ENTER();
    NEED(device >= 0 && device < devices && device < MOST_DEVICES && held[device] > 0, 201);
    retained--;
    if (--held[device]) return SUCCESS;
    for (; poison && objects; ) destroy(objects, objects->kind); // with a spoiled context goes what could not be given back
    CUresult status = poison ? SUCCESS : destroy(primary[device], CONTEXT);
    poison = SUCCESS, primary[device] = NULL;
    return status;
}

CUresult cuCtxSetCurrent(void *context) { ENTER(); NEED(!context || live(context, CONTEXT), 201); current = context; return SUCCESS; }
CUresult cuCtxGetCurrent(void **context) { ENTER(); *context = current; return SUCCESS; }
CUresult cuCtxSynchronize(void) { ENTER(); return SUCCESS; }

CUresult cuModuleLoadDataEx(void **module, const void *image, unsigned count, int *options, void **values) {
    ENTER();
    char *log[2] = { NULL, NULL };
    size_t size[2] = { 0, 0 };
    for (unsigned i = 0; i < count; i++) {
        if (options[i] == 3 || options[i] == 5) log[options[i] / 5] = values[i];
        if (options[i] == 4 || options[i] == 6) size[options[i] / 6] = (size_t)(uintptr_t)values[i];
    }
    if (strstr(image, "@@")) {
        if (log[1]) strncpy(log[1], "ptxas application ptx input, line 3; fatal : Parsing error near '@@'", size[1]);
        return INVALID_PTX;
    }
    if (log[0]) strncpy(log[0], "ptxas info : 0 bytes gmem", size[0]);
    struct object *o = create(MODULE, current, 0);
    o->text = strdup(image);
    *module = o;
    return SUCCESS;
}

CUresult cuModuleUnload(void *module) { ENTER(); return destroy(module, MODULE); }

CUresult cuModuleGetFunction(void **function, void *module, const char *name) {
    ENTER();
    NEED(live(module, MODULE), INVALID_HANDLE);
    char entry[256] = ".entry ";
    strncat(entry, name, 200);
    strcat(entry, "(");
    NEED(strstr(((struct object *)module)->text, entry), NOT_FOUND);
    *function = create(FUNCTION, module, 0);
    return SUCCESS;
}

CUresult cuModuleGetGlobal_v2(uintptr_t *address, size_t *bytes, void *module, const char *name) {
    ENTER();
    NEED(live(module, MODULE), INVALID_HANDLE);
    NEED(strstr(((struct object *)module)->text, name), NOT_FOUND);
    *address = (uintptr_t)module + 64, *bytes = 16;
    return SUCCESS;
}

CUresult cuFuncGetAttribute(int *value, int attribute, void *function) {
    ENTER();
    NEED(live(function, FUNCTION), INVALID_HANDLE);
    *value = 40 + attribute;
    return SUCCESS;
}

CUresult cuFuncSetAttribute(void *function, int attribute, int value) {
    ENTER();
    NEED(live(function, FUNCTION), INVALID_HANDLE);
    NEED(attribute == 8 || attribute == 9, INVALID_VALUE);
    return value >= 0 ? SUCCESS : INVALID_VALUE;
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, void *function, int block_size, size_t shared) {
    ENTER();
    NEED(live(function, FUNCTION) && block_size > 0, INVALID_VALUE);
    *blocks = shared > 100000 ? 1 : 2048 / block_size;
    return SUCCESS;
}

CUresult cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void *stream,
                        void **parameters, void **extra) {
    ENTER();
    NEED(live(function, FUNCTION), INVALID_HANDLE);
    NEED(!parameters, INVALID_VALUE);
    unsigned shape[7] = { gx, gy, gz, bx, by, bz, shared };
    memcpy(launch.shape, shape, sizeof shape);
    launch.stream = stream, launch.bytes = 0;
    const void *block = NULL;
    for (; extra && *extra; extra += 2) {
        if (*extra == (void *)1) block = extra[1];
        else if (*extra == (void *)2) launch.bytes = *(size_t *)extra[1];
        else return INVALID_VALUE;
    }
    NEED(launch.bytes <= sizeof launch.block, INVALID_VALUE);
    if (block) memcpy(launch.block, block, launch.bytes);
    return SUCCESS;
}

CUresult cuMemAlloc_v2(uintptr_t *address, size_t bytes) {
    ENTER();
    NEED(bytes, INVALID_VALUE);
    NEED(bytes < (size_t)1 << 34, 2);
    *address = (uintptr_t)bytes_of(create(DEVICE_MEMORY, current, bytes));
    return SUCCESS;
}

CUresult cuMemFree_v2(uintptr_t address) {
    ENTER();
    struct object *o = holder(address, 1, DEVICE_MEMORY);
    NEED(o && (uintptr_t)bytes_of(o) == address, INVALID_VALUE);
    return destroy(o, DEVICE_MEMORY);
}

CUresult cuMemGetInfo_v2(size_t *free_bytes, size_t *total) { ENTER(); *free_bytes = (size_t)4 << 32, *total = (size_t)5 << 32; return SUCCESS; }

CUresult cuMemHostAlloc(void **address, size_t bytes, unsigned flags) {
    ENTER();
    NEED(bytes && !flags, INVALID_VALUE);
    *address = bytes_of(create(HOST_MEMORY, current, bytes));
    return SUCCESS;
}

CUresult cuMemFreeHost(void *address) {
    ENTER();
    struct object *o = holder((uintptr_t)address, 1, HOST_MEMORY);
    NEED(o && bytes_of(o) == address, INVALID_VALUE);
    return destroy(o, HOST_MEMORY);
}

static CUresult copy(uintptr_t to, uintptr_t from, size_t bytes, int check_to, int check_from, void *stream) {
    NEED(!stream || live(stream, STREAM), INVALID_HANDLE);
    NEED(!check_to || holder(to, bytes, DEVICE_MEMORY), INVALID_VALUE);
    NEED(!check_from || holder(from, bytes, DEVICE_MEMORY), INVALID_VALUE);
    memmove((void *)to, (void *)from, bytes);
    return SUCCESS;
}

CUresult cuMemcpyHtoDAsync_v2(uintptr_t to, const void *from, size_t bytes, void *stream) { ENTER(); return copy(to, (uintptr_t)from, bytes, 1, 0, stream); }
CUresult cuMemcpyDtoHAsync_v2(void *to, uintptr_t from, size_t bytes, void *stream) { ENTER(); return copy((uintptr_t)to, from, bytes, 0, 1, stream); }
CUresult cuMemcpyDtoDAsync_v2(uintptr_t to, uintptr_t from, size_t bytes, void *stream) { ENTER(); return copy(to, from, bytes, 1, 1, stream); }

CUresult cuMemsetD8Async(uintptr_t to, unsigned char value, size_t count, void *stream) {
    ENTER();
    NEED(holder(to, count, DEVICE_MEMORY) && (!stream || live(stream, STREAM)), INVALID_VALUE);
    memset((void *)to, value, count);
    return SUCCESS;
}

CUresult cuMemsetD32Async(uintptr_t to, unsigned value, size_t count, void *stream) {
    ENTER();
    NEED(holder(to, count * 4, DEVICE_MEMORY) && (!stream || live(stream, STREAM)), INVALID_VALUE);
    for (size_t i = 0; i < count; i++) ((unsigned *)to)[i] = value;
    return SUCCESS;
}

CUresult cuStreamCreate(void **stream, unsigned flags) { ENTER(); NEED(flags < 2, INVALID_VALUE); *stream = create(STREAM, current, 0); return SUCCESS; }
CUresult cuStreamDestroy_v2(void *stream) { ENTER(); return destroy(stream, STREAM); }
CUresult cuStreamSynchronize(void *stream) { ENTER(); return !stream || live(stream, STREAM) ? SUCCESS : INVALID_HANDLE; }
CUresult cuStreamQuery(void *stream) { ENTER(); return !stream || live(stream, STREAM) ? SUCCESS : INVALID_HANDLE; }

CUresult cuStreamWaitEvent(void *stream, void *event, unsigned flags) {
    ENTER();
    return (!stream || live(stream, STREAM)) && live(event, EVENT) && !flags ? SUCCESS : INVALID_HANDLE;
}

CUresult cuEventCreate(void **event, unsigned flags) { ENTER(); NEED(flags < 4, INVALID_VALUE); *event = create(EVENT, current, 0); return SUCCESS; }
CUresult cuEventDestroy_v2(void *event) { ENTER(); return destroy(event, EVENT); }
CUresult cuEventRecord(void *event, void *stream) { ENTER(); return live(event, EVENT) && (!stream || live(stream, STREAM)) ? SUCCESS : INVALID_HANDLE; }
CUresult cuEventSynchronize(void *event) { ENTER(); return live(event, EVENT) ? SUCCESS : INVALID_HANDLE; }
CUresult cuEventQuery(void *event) { ENTER(); return live(event, EVENT) ? SUCCESS : INVALID_HANDLE; }

CUresult cuEventElapsedTime(float *ms, void *start, void *end) {
    ENTER();
    NEED(live(start, EVENT) && live(end, EVENT), INVALID_HANDLE);
    *ms = 1.5f;
    return SUCCESS;
}

CUresult cuStreamBeginCapture_v2(void *stream, int mode) { ENTER(); NEED(live(stream, STREAM) && mode == 1, INVALID_VALUE); return SUCCESS; }
CUresult cuStreamEndCapture(void *stream, void **graph) { ENTER(); NEED(live(stream, STREAM), INVALID_HANDLE); *graph = create(GRAPH, current, 0); return SUCCESS; }

CUresult cuGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long flags) {
    ENTER();
    NEED(live(graph, GRAPH) && !flags, INVALID_VALUE);
    *executable = create(EXECUTABLE, current, 0);
    return SUCCESS;
}

CUresult cuGraphLaunch(void *executable, void *stream) { ENTER(); return live(executable, EXECUTABLE) && (!stream || live(stream, STREAM)) ? SUCCESS : INVALID_HANDLE; }
CUresult cuGraphGetNodes(void *graph, void **nodes, size_t *count) { ENTER(); NEED(live(graph, GRAPH) && !nodes, INVALID_VALUE); *count = 3; return SUCCESS; }
CUresult cuGraphExecDestroy(void *executable) { ENTER(); return destroy(executable, EXECUTABLE); }
CUresult cuGraphDestroy(void *graph) { ENTER(); return destroy(graph, GRAPH); }
