// A stand-in for cuDNN: the calls AdmNative makes, with the signatures of cudnn.h. It counts every call, returns a chosen status at the n-th call of a
// chosen name, knows its live objects, remembers what descriptors and convolutions were told, and refuses what does not fit together: wrong kinds of
// descriptors in wrong places, sizes that contradict each other, null pointers, too little workspace. It computes nothing.
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef int cudnnStatus_t;
enum kind { HANDLE = 1, TENSOR, FILTER, CONVOLUTION };
enum pass { FORWARD, BACKWARD_DATA, BACKWARD_FILTER };
enum status { SUCCESS, NOT_INITIALIZED, BAD_PARAM, NOT_SUPPORTED, STATUSES };
enum { FLOAT = 0, NHWC = 1, CROSS_CORRELATION = 1, ALGORITHMS = 8 };

struct object { enum kind kind; struct object *next; int set; int v[9]; int groups, math; void *stream; };
struct counter { const char *name; long calls, fail_at; cudnnStatus_t status; };
struct performance { int algorithm, status; float time; size_t memory; int determinism, math, reserved[3]; };
struct call { int pass, algorithm; void *handle, *stream, *a, *b, *convolution, *c; uintptr_t data_a, data_b, data_c, workspace; size_t bytes; float alpha, beta; };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct counter counters[64];
static struct object *objects;
static size_t version = 90100;
static struct performance algorithms[ALGORITHMS];
static int count;
static struct call last;

// The same four in cuDNN 8 and in 9.
static cudnnStatus_t code(enum status s) {
    static const cudnnStatus_t of8[STATUSES] = { 0, 1, 3, 9 }, of9[STATUSES] = { 0, 1001, 2000, 3000 };
    return version < 90000 ? of8[s] : of9[s];
}

static struct counter *counter(const char *name) {
    int i = 0;
    while (counters[i].name && strcmp(counters[i].name, name)) i++;
    if (!counters[i].name) counters[i].name = strdup(name);
    return &counters[i];
}

static cudnnStatus_t enter(const char *name) {
    pthread_mutex_lock(&lock);
    struct counter *c = counter(name);
    cudnnStatus_t status = ++c->calls == c->fail_at ? c->status : 0;
    pthread_mutex_unlock(&lock);
    return status;
}

#define ENTER() do { cudnnStatus_t s_ = enter(__func__); if (s_) return s_; } while (0)
#define NEED(condition, status) do { if (!(condition)) return code(status); } while (0)

static cudnnStatus_t create(void **made, enum kind kind) {
    NEED(made, BAD_PARAM);
    struct object *o = calloc(1, sizeof *o);
    o->kind = kind, o->groups = 1;
    pthread_mutex_lock(&lock);
    o->next = objects, objects = o;
    pthread_mutex_unlock(&lock);
    *made = o;
    return 0;
}

static struct object *find(const void *p, enum kind kind) {
    pthread_mutex_lock(&lock);
    struct object *o = objects;
    while (o && o != p) o = o->next;
    pthread_mutex_unlock(&lock);
    return o && o->kind == kind ? o : NULL;
}

static cudnnStatus_t destroy(void *p, enum kind kind) {
    struct object *o = find(p, kind);
    NEED(o, BAD_PARAM);
    pthread_mutex_lock(&lock);
    struct object **at = &objects;
    while (*at != o) at = &(*at)->next;
    *at = o->next;
    pthread_mutex_unlock(&lock);
    free(o);
    return 0;
}

static cudnnStatus_t set(struct object *o, int n, const int *values) {
    NEED(o, BAD_PARAM);
    memcpy(o->v, values, sizeof *values * (size_t)n);
    o->set = 1;
    return 0;
}

// ---- for tests

void fake_cudnn_reset(void) {
    while (objects) destroy(objects, objects->kind);
    for (int i = 0; counters[i].name; i++) counters[i].calls = counters[i].fail_at = 0;
    version = 90100;
    memset(&last, 0, sizeof last);
    static const struct performance usual[] = {
        { 1, 0, 0.5f, 1 << 20, 0, 1, { 0 } }, { 6, 3000, -1, 0, 1, 0, { 0 } }, { 2, 0, 1, 4096, 1, 1, { 0 } }, { 0, 0, 2, 0, 1, 0, { 0 } },
    };
    memcpy(algorithms, usual, sizeof usual);
    count = sizeof usual / sizeof *usual;
}

void fake_cudnn_version(size_t v) { version = v; }

void fake_cudnn_algorithms(int n, const struct performance *list) { count = n; memcpy(algorithms, list, sizeof *list * (size_t)n); }

void fake_cudnn_fail(const char *call, long nth, cudnnStatus_t status) {
    struct counter *c = counter(call);
    c->fail_at = c->calls + nth, c->status = status;
}

long fake_cudnn_calls(const char *call) { return counter(call)->calls; }

long fake_cudnn_total(void) {
    long sum = 0;
    for (int i = 0; counters[i].name; i++) sum += counters[i].calls;
    return sum;
}

long fake_cudnn_live(void) {
    long n = 0;
    for (struct object *o = objects; o; o = o->next) n++;
    return n;
}

// What a descriptor was told, in the order of the arguments; then groups and math of a convolution.
int fake_cudnn_descriptor(const void *p, int values[11]) {
    for (struct object *o = objects; o; o = o->next) {
        if (o == p) {
            memcpy(values, o->v, sizeof o->v);
            values[9] = o->groups, values[10] = o->math;
            return o->kind;
        }
    }
    return 0;
}

void fake_cudnn_last(struct call *call) { *call = last; }

// ---- library and handle

size_t cudnnGetVersion(void) { counter(__func__)->calls++; return version; }

const char *cudnnGetErrorString(cudnnStatus_t status) {
    counter(__func__)->calls++;
    static const char *text[STATUSES] = { "CUDNN_STATUS_SUCCESS", "CUDNN_STATUS_NOT_INITIALIZED", "CUDNN_STATUS_BAD_PARAM", "CUDNN_STATUS_NOT_SUPPORTED" };
    for (int i = 0; i < STATUSES; i++) if (code(i) == status) return text[i];
    return "CUDNN_UNKNOWN_STATUS";
}

cudnnStatus_t cudnnCreate(void **handle) { ENTER(); return create(handle, HANDLE); }
cudnnStatus_t cudnnDestroy(void *handle) { ENTER(); return destroy(handle, HANDLE); }

cudnnStatus_t cudnnSetStream(void *handle, void *stream) {
    ENTER();
    struct object *o = find(handle, HANDLE);
    NEED(o, BAD_PARAM);
    o->stream = stream;
    return 0;
}

// ---- descriptors

cudnnStatus_t cudnnCreateTensorDescriptor(void **d) { ENTER(); return create(d, TENSOR); }
cudnnStatus_t cudnnDestroyTensorDescriptor(void *d) { ENTER(); return destroy(d, TENSOR); }

cudnnStatus_t cudnnSetTensor4dDescriptorEx(void *d, int type, int n, int c, int h, int w, int sn, int sc, int sh, int sw) {
    ENTER();
    NEED(n > 0 && c > 0 && h > 0 && w > 0 && sn > 0 && sc > 0 && sh > 0 && sw > 0, BAD_PARAM);
    return set(find(d, TENSOR), 9, (int[]){ type, n, c, h, w, sn, sc, sh, sw });
}

cudnnStatus_t cudnnCreateFilterDescriptor(void **d) { ENTER(); return create(d, FILTER); }
cudnnStatus_t cudnnDestroyFilterDescriptor(void *d) { ENTER(); return destroy(d, FILTER); }

cudnnStatus_t cudnnSetFilter4dDescriptor(void *d, int type, int format, int k, int c, int h, int w) {
    ENTER();
    NEED(k > 0 && c > 0 && h > 0 && w > 0, BAD_PARAM);
    return set(find(d, FILTER), 6, (int[]){ type, format, k, c, h, w });
}

cudnnStatus_t cudnnCreateConvolutionDescriptor(void **d) { ENTER(); return create(d, CONVOLUTION); }
cudnnStatus_t cudnnDestroyConvolutionDescriptor(void *d) { ENTER(); return destroy(d, CONVOLUTION); }

cudnnStatus_t cudnnSetConvolution2dDescriptor(void *d, int pad_h, int pad_w, int u, int v, int dilation_h, int dilation_w, int mode, int type) {
    ENTER();
    NEED(pad_h >= 0 && pad_w >= 0 && u > 0 && v > 0 && dilation_h > 0 && dilation_w > 0, BAD_PARAM);
    return set(find(d, CONVOLUTION), 8, (int[]){ pad_h, pad_w, u, v, dilation_h, dilation_w, mode, type });
}

cudnnStatus_t cudnnSetConvolutionGroupCount(void *d, int groups) {
    ENTER();
    struct object *o = find(d, CONVOLUTION);
    NEED(o && groups > 0, BAD_PARAM);
    o->groups = groups;
    return 0;
}

cudnnStatus_t cudnnSetConvolutionMathType(void *d, int math) {
    ENTER();
    struct object *o = find(d, CONVOLUTION);
    NEED(o && math >= 0 && math <= 3, BAD_PARAM);
    o->math = math;
    return 0;
}

// ---- convolutions

// Four descriptors that fit together: of one type, channels last, cross-correlation with sums in f32, and the size of y that x, w and the rest give.
static cudnnStatus_t fit(enum pass pass, void *handle, void *a, void *b, void *convolution, void *c) {
    struct object *x = find(pass == BACKWARD_DATA ? c : a, TENSOR), *w = find(pass == FORWARD ? b : pass == BACKWARD_DATA ? a : c, FILTER);
    struct object *y = find(pass == FORWARD ? c : b, TENSOR), *d = find(convolution, CONVOLUTION);
    NEED(find(handle, HANDLE) && x && w && y && d && x->set && w->set && y->set && d->set, BAD_PARAM);
    NEED(x->v[0] == w->v[0] && x->v[0] == y->v[0], BAD_PARAM);
    NEED(w->v[1] == NHWC && d->v[6] == CROSS_CORRELATION && d->v[7] == FLOAT && d->groups == 1, NOT_SUPPORTED);
    NEED(x->v[1] == y->v[1] && x->v[2] == w->v[3] && y->v[2] == w->v[2], BAD_PARAM);
    for (int i = 0; i < 2; i++) {
        int size = x->v[3 + i] + 2 * d->v[i] - d->v[4 + i] * (w->v[4 + i] - 1) - 1;
        NEED(size >= 0 && y->v[3 + i] == size / d->v[2 + i] + 1, BAD_PARAM);
    }
    struct object *image[2] = { x, y };
    for (int i = 0; i < 2; i++) {
        int *t = image[i]->v; // type, n, c, h, w, strides
        NEED(t[6] == 1 && t[8] >= t[2] && t[7] >= t[4] * t[8] && t[5] >= t[3] * t[7], NOT_SUPPORTED);
    }
    return 0;
}

static cudnnStatus_t list(enum pass pass, void *handle, void *a, void *b, void *convolution, void *c, int wanted, int *returned, struct performance *results) {
    cudnnStatus_t status = fit(pass, handle, a, b, convolution, c);
    if (status) return status;
    NEED(wanted > 0 && returned && results, BAD_PARAM);
    *returned = wanted < count ? wanted : count;
    memcpy(results, algorithms, sizeof *results * (size_t)*returned);
    return 0;
}

static struct performance *known(int algorithm) {
    for (int i = 0; i < count; i++) if (algorithms[i].algorithm == algorithm && !algorithms[i].status) return &algorithms[i];
    return NULL;
}

static cudnnStatus_t size_of(enum pass pass, void *handle, void *a, void *b, void *convolution, void *c, int algorithm, size_t *bytes) {
    cudnnStatus_t status = fit(pass, handle, a, b, convolution, c);
    if (status) return status;
    NEED(known(algorithm), NOT_SUPPORTED);
    *bytes = known(algorithm)->memory;
    return 0;
}

static cudnnStatus_t convolve(enum pass pass, void *handle, const void *alpha, void *a, uintptr_t data_a, void *b, uintptr_t data_b, void *convolution,
                              int algorithm, uintptr_t workspace, size_t bytes, const void *beta, void *c, uintptr_t data_c) {
    cudnnStatus_t status = fit(pass, handle, a, b, convolution, c);
    if (status) return status;
    NEED(known(algorithm), NOT_SUPPORTED);
    NEED(alpha && beta && data_a && data_b && data_c && bytes >= known(algorithm)->memory && (workspace || !bytes), BAD_PARAM);
    last = (struct call){ (int)pass, algorithm, handle, ((struct object *)handle)->stream, a, b, convolution, c, data_a, data_b, data_c, workspace, bytes,
                          *(const float *)alpha, *(const float *)beta };
    return 0;
}

#define PASS(name, pass) \
    cudnnStatus_t cudnnGetConvolution##name##Algorithm_v7(void *h, void *a, void *b, void *d, void *c, int wanted, int *returned, struct performance *results) \
    { ENTER(); return list(pass, h, a, b, d, c, wanted, returned, results); } \
    cudnnStatus_t cudnnFindConvolution##name##AlgorithmEx(void *h, void *a, uintptr_t pa, void *b, uintptr_t pb, void *d, void *c, uintptr_t pc, int wanted, \
                                                          int *returned, struct performance *results, uintptr_t workspace, size_t bytes) \
    { ENTER(); NEED(pa && pb && pc && (workspace || !bytes), BAD_PARAM); return list(pass, h, a, b, d, c, wanted, returned, results); } \
    cudnnStatus_t cudnnGetConvolution##name##WorkspaceSize(void *h, void *a, void *b, void *d, void *c, int algorithm, size_t *bytes) \
    { ENTER(); return size_of(pass, h, a, b, d, c, algorithm, bytes); } \
    cudnnStatus_t cudnnConvolution##name(void *h, const void *alpha, void *a, uintptr_t pa, void *b, uintptr_t pb, void *d, int algorithm, \
                                         uintptr_t workspace, size_t bytes, const void *beta, void *c, uintptr_t pc) \
    { ENTER(); return convolve(pass, h, alpha, a, pa, b, pb, d, algorithm, workspace, bytes, beta, c, pc); }

PASS(Forward, FORWARD)
PASS(BackwardData, BACKWARD_DATA)
PASS(BackwardFilter, BACKWARD_FILTER)
