/* All steps of a scan, forward and backward: what the layers of layers.py and cells.py do at one.
 *
 * Small products cost less here than the call of an operation does. Weights are copied into panels
 * of LANES columns once a scan, and are read from the cache of the processor at every step. What
 * is best done for all steps at once stays in Python: gradients of weights, and what is known
 * beforehand.
 */

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifndef REAL
#define REAL float
#endif
typedef REAL real;

#if defined(__AVX512F__)
#define BYTES 64
#define ROWS 8
#elif defined(__AVX__)
#define BYTES 32
#define ROWS 4
#else
#define BYTES 16
#define ROWS 4
#endif
#define LANES ((int64_t)(BYTES / sizeof(real)))
#define PANEL (2 * LANES)
#define CHUNK 256
typedef real vec __attribute__((vector_size(BYTES), aligned(sizeof(real)), may_alias));

#define INLINE static inline __attribute__((always_inline))

/* A variable at every step, row-major but for its strides, in numbers. */
typedef struct {
    real *at;
    int64_t model, step, row;
} stack;

enum { LINEAR, SWISH, GRU, DRAW, CHOOSE, COPY };
enum { NORMAL, LEARNED_NORMAL, TANH_NORMAL };

/* A layer; what its kind does not have is zero. Names are those in Python, d… are gradients. */
typedef struct {
    int64_t kind, rows, in, out;
    int64_t shared;  /* whether other layers read x too, so that dx adds up */
    int64_t density; /* of CHOOSE */
    int64_t through; /* of CHOOSE */
    double min_std, std, eps;
    stack x, dx, y, dy;
    stack added; /* bias, or what is known */
    stack sums, dsums, normed, scale, shift, dscale, dshift;
    stack h, dh;
    stack noise, data, labeled, slope;
    stack weight;         /* (out, in) */
    stack dweight;
    stack panels, dpanels; /* its copies, for x Wᵀ and for dy W */
} layer;

/* ---- functions of numbers ---- */

#define DOUBLE (sizeof(real) == 8)

INLINE real exp_(real x) {
    if (DOUBLE) return (real)exp((double)x);
    /* 2ⁿ eʳ with |r| ≤ ½ ln 2 and a Taylor polynomial, to 1e-7 */
    float v = (float)x;
    v = v > 88.0f ? 88.0f : v;
    v = v < -87.0f ? -87.0f : v;
    float n = __builtin_rintf(v * 1.44269504f);
    float r = v - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.0f / 5040;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    int32_t bits = ((int32_t)n + 127) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    return (real)(p * power);
}

INLINE real sigmoid(real x) { return 1 / (1 + exp_(-x)); }

INLINE real tanh_(real x) {
    if (DOUBLE) return (real)tanh((double)x);
    real z = x * x;
    /* Lambert's continued fraction, cut off: to 1e-9 where the other loses digits */
    real small = x * (135135 + z * (17325 + z * (378 + z))) /
                 (135135 + z * (62370 + z * (3150 + 28 * z)));
    real large = 1 - 2 / (1 + exp_(2 * x));
    return z < (real)0.5 ? small : large;
}

/* ---- products ---- */

/* B (inner, columns), of any strides, in panels: (panel, inner, PANEL), zero beyond its columns.
   From one panel to the next there are ``stride`` numbers. */
static void pack(real *to, int64_t stride, const real *b, int64_t inner, int64_t columns,
                 int64_t down, int64_t across) {
    for (int64_t j = 0; j < columns; j += PANEL, to += stride) {
        int64_t width = columns - j < PANEL ? columns - j : PANEL;
        for (int64_t k = 0; k < inner; k++) {
            const real *from = b + k * down + j * across;
            real *line = to + k * PANEL;
            for (int64_t l = 0; l < width; l++) line[l] = from[l * across];
            for (int64_t l = width; l < PANEL; l++) line[l] = 0;
        }
    }
}

/* C = added + A B; ``added`` may be null, or C. */
typedef struct {
    real *c;
    int64_t c_row;
    const real *added;
    int64_t added_row;
    const real *a;
    int64_t a_row, a_column;
    const real *panels; /* of B */
    int64_t rows, inner, columns;
} product;

/* Rows i … i+rows-1 of a panel, in registers. */
INLINE void tile(product p, int64_t i, int rows, int halves) {
    vec sum[ROWS][2];
    const real *a = p.a + i * p.a_row, *b = p.panels;
    for (int r = 0; r < rows; r++)
        for (int h = 0; h < halves; h++) sum[r][h] = (vec){0};
    for (int64_t k = 0; k < p.inner; k++, a += p.a_column, b += PANEL)
        for (int r = 0; r < rows; r++)
            for (int h = 0; h < halves; h++)
                sum[r][h] += a[r * p.a_row] * *(const vec *)(b + h * LANES);
    for (int r = 0; r < rows; r++) {
        real *c = p.c + (i + r) * p.c_row;
        const real *added = p.added ? p.added + (i + r) * p.added_row : 0;
        if (p.columns >= halves * LANES) {
            for (int h = 0; h < halves; h++) {
                vec v = sum[r][h];
                if (added) v += *(const vec *)(added + h * LANES);
                *(vec *)(c + h * LANES) = v;
            }
        } else {
            const real *whole = (const real *)sum[r];
            for (int64_t l = 0; l < p.columns; l++)
                c[l] = added ? added[l] + whole[l] : whole[l];
        }
    }
}

INLINE void tiles(product p, int halves) {
    int64_t i = 0;
    for (; i + ROWS <= p.rows; i += ROWS) tile(p, i, ROWS, halves);
    for (; i + ROWS / 2 <= p.rows; i += ROWS / 2) tile(p, i, ROWS / 2, halves);
    for (; i < p.rows; i++) tile(p, i, 1, halves);
}

INLINE void multiply(product p) {
    for (; p.columns > 0; p.columns -= PANEL) {
        if (p.columns > LANES)
            tiles(p, 2);
        else
            tiles(p, 1);
        p.panels += p.inner * PANEL;
        p.c += PANEL;
        if (p.added) p.added += PANEL;
    }
}

/* ---- layers ---- */

INLINE real *row(stack s, int64_t t, int64_t b) { return s.at + t * s.step + b * s.row; }

/* x Wᵀ, added to something or not. */
static void times_weight(const layer *l, int64_t t, stack to) {
    const real *added = l->added.at ? row(l->added, t, 0) : 0;
    multiply((product){row(to, t, 0), to.row, added, l->added.row, row(l->x, t, 0), l->x.row, 1,
                       l->panels.at, l->rows, l->in, l->out});
}

/* The gradient of x. */
static void to_source(const layer *l, int64_t t, stack gradient) {
    real *dx = row(l->dx, t, 0);
    multiply((product){dx, l->dx.row, l->shared ? dx : 0, l->dx.row, row(gradient, t, 0),
                       gradient.row, 1, l->dpanels.at, l->rows, l->out, l->in});
}

/* The gradient of W, from CHUNK rows at a time, which stay in the cache. */
static void to_weight(const layer *l, int64_t steps, real *work) {
    stack gradient = l->kind == LINEAR ? l->dy : l->dsums;
    int64_t chunk = l->rows && l->rows < CHUNK ? CHUNK / l->rows : 1;
    real *dw = l->dweight.at;
    for (int64_t t = 0; t < steps; t += chunk) {
        int64_t n = steps - t < chunk ? steps - t : chunk, inner = n * l->rows;
        for (int64_t s = 0; s < n; s++)
            pack(work + s * l->rows * PANEL, inner * PANEL, row(l->x, t + s, 0), l->rows, l->in,
                 l->x.row, 1);
        multiply((product){dw, l->in, t ? dw : 0, l->in, row(gradient, t, 0), 1, gradient.row,
                           work, l->out, inner, l->in});
    }
}

static void linear_backward(const layer *l, int64_t t) {
    real *dbias = l->dshift.at;
    for (int64_t b = 0; b < l->rows; b++) {
        const real *dy = row(l->dy, t, b);
#pragma omp simd
        for (int64_t j = 0; j < l->out; j++) dbias[j] += dy[j];
    }
    to_source(l, t, l->dy);
}

/* Mean and 1 / std of a row. */
INLINE void moments(const real *x, int64_t n, double eps, real *mean, real *scale) {
    real sum = 0, square = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < n; j++) sum += x[j];
    real m = sum / n;
#pragma omp simd reduction(+ : square)
    for (int64_t j = 0; j < n; j++) square += (x[j] - m) * (x[j] - m);
    *mean = m;
    *scale = (real)(1 / sqrt((double)(square / n) + eps));
}

/* LayerNorm(x Wᵀ + known) of Normed. */
static void norm(const layer *l, int64_t t) {
    times_weight(l, t, l->sums);
    const real *scale = l->scale.at, *shift = l->shift.at;
    for (int64_t b = 0; b < l->rows; b++) {
        const real *x = row(l->sums, t, b);
        real *y = row(l->normed, t, b), mean, by;
        moments(x, l->out, l->eps, &mean, &by);
#pragma omp simd
        for (int64_t j = 0; j < l->out; j++) y[j] = (x[j] - mean) * by * scale[j] + shift[j];
    }
}

/* Its gradient, from that of one normed row; the scale's and the shift's add up over all. */
INLINE void norm_backward(const layer *l, int64_t t, int64_t b, const real *dy) {
    const real *x = row(l->sums, t, b), *scale = l->scale.at;
    real *dx = row(l->dsums, t, b), *dscale = l->dscale.at, *dshift = l->dshift.at;
    int64_t n = l->out;
    real mean, by, sum = 0, along = 0;
    moments(x, n, l->eps, &mean, &by);
#pragma omp simd reduction(+ : sum, along)
    for (int64_t j = 0; j < n; j++) {
        real unit = (x[j] - mean) * by, d = dy[j] * scale[j];
        sum += d;
        along += d * unit;
        dscale[j] += dy[j] * unit;
        dshift[j] += dy[j];
    }
    sum /= n;
    along /= n;
#pragma omp simd
    for (int64_t j = 0; j < n; j++)
        dx[j] = by * (dy[j] * scale[j] - sum - (x[j] - mean) * by * along);
}

static void swish(const layer *l, int64_t t) {
    norm(l, t);
    for (int64_t b = 0; b < l->rows; b++) {
        const real *x = row(l->normed, t, b);
        real *y = row(l->y, t, b);
#pragma omp simd
        for (int64_t j = 0; j < l->out; j++) y[j] = x[j] * sigmoid(x[j]);
    }
}

static void swish_backward(const layer *l, int64_t t, real *work) {
    for (int64_t b = 0; b < l->rows; b++) {
        const real *x = row(l->normed, t, b), *dy = row(l->dy, t, b);
#pragma omp simd
        for (int64_t j = 0; j < l->out; j++) {
            real s = sigmoid(x[j]);
            work[j] = dy[j] * s * (1 + x[j] * (1 - s));
        }
        norm_backward(l, t, b, work);
    }
    to_source(l, t, l->dsums);
}

static void gru(const layer *l, int64_t t) {
    int64_t n = l->out / 3;
    norm(l, t);
    for (int64_t b = 0; b < l->rows; b++) {
        const real *x = row(l->normed, t, b), *h = row(l->h, t, b);
        real *next = row(l->h, t + 1, b);
#pragma omp simd
        for (int64_t j = 0; j < n; j++) {
            real candidate = tanh_(sigmoid(x[j]) * x[n + j]);
            next[j] = h[j] + sigmoid(x[2 * n + j]) * (candidate - h[j]);
        }
    }
}

static void gru_backward(const layer *l, int64_t t, real *work) {
    int64_t n = l->out / 3;
    for (int64_t b = 0; b < l->rows; b++) {
        const real *x = row(l->normed, t, b), *h = row(l->h, t, b), *dnext = row(l->dh, t + 1, b);
        real *dh = row(l->dh, t, b);
#pragma omp simd
        for (int64_t j = 0; j < n; j++) {
            real reset = sigmoid(x[j]), update = sigmoid(x[2 * n + j]);
            real candidate = tanh_(reset * x[n + j]);
            real moved = dnext[j] * update, to_product = moved * (1 - candidate * candidate);
            work[j] = to_product * x[n + j] * reset * (1 - reset);
            work[n + j] = to_product * reset;
            work[2 * n + j] = dnext[j] * (candidate - h[j]) * update * (1 - update);
            dh[j] += dnext[j] - moved;
        }
        norm_backward(l, t, b, work);
    }
    to_source(l, t, l->dsums);
}

static void draw(const layer *l, int64_t t) {
    int64_t n = l->out;
    for (int64_t b = 0; b < l->rows; b++) {
        const real *x = row(l->x, t, b), *noise = row(l->noise, t, b);
        real *y = row(l->y, t, b);
#pragma omp simd
        for (int64_t j = 0; j < n; j++)
            y[j] = x[j] + (2 * sigmoid(x[n + j] / 2) + (real)l->min_std) * noise[j];
    }
}

static void draw_backward(const layer *l, int64_t t) {
    int64_t n = l->out;
    for (int64_t b = 0; b < l->rows; b++) {
        const real *x = row(l->x, t, b), *noise = row(l->noise, t, b), *dy = row(l->dy, t, b);
        real *dx = row(l->dx, t, b);
#pragma omp simd
        for (int64_t j = 0; j < n; j++) {
            real s = sigmoid(x[n + j] / 2);
            dx[j] += dy[j];
            dx[n + j] += dy[j] * noise[j] * s * (1 - s);
        }
    }
}

/* a = m a_data + (1 - m) a_decoded; the densities are those of latent_action.py. */
static void choose(const layer *l, int64_t t) {
    int64_t n = l->out;
    for (int64_t b = 0; b < l->rows; b++) {
        const real *x = row(l->x, t, b), *data = row(l->data, t, b);
        const real *noise = l->noise.at ? row(l->noise, t, b) : 0;
        real *y = row(l->y, t, b), m = *row(l->labeled, t, b);
#pragma omp simd
        for (int64_t j = 0; j < n; j++) {
            real moved = 0;
            if (noise) {
                real width = l->density == NORMAL ? 1 : exp_(2 * tanh_(x[n + j] / 2));
                moved = (real)l->std * width * noise[j];
            }
            real a = l->density == TANH_NORMAL ? tanh_(x[j] + moved) : tanh_(x[j]) + moved;
            y[j] = m * data[j] + (1 - m) * a; /* exactly one of them where m is 1 or 0 */
        }
    }
}

static void choose_backward(const layer *l, int64_t t) {
    int64_t n = l->out, parts = l->density == NORMAL ? 1 : 2;
    if (!l->through) return;
    for (int64_t b = 0; b < l->rows; b++) {
        const real *slope = row(l->slope, t, b), *dy = row(l->dy, t, b);
        real *dx = row(l->dx, t, b);
        for (int64_t p = 0; p < parts; p++)
#pragma omp simd
            for (int64_t j = 0; j < n; j++) dx[p * n + j] += dy[j] * slope[p * n + j];
    }
}

static void copy(const layer *l, int64_t t) {
    for (int64_t b = 0; b < l->rows; b++)
        memcpy(row(l->y, t, b), row(l->x, t, b), (size_t)l->out * sizeof(real));
}

static void copy_backward(const layer *l, int64_t t) {
    for (int64_t b = 0; b < l->rows; b++) {
        const real *dy = row(l->dy, t, b);
        real *dx = row(l->dx, t, b);
#pragma omp simd
        for (int64_t j = 0; j < l->out; j++) dx[j] += dy[j];
    }
}

static void step(const layer *l, int64_t t) {
    switch (l->kind) {
        case LINEAR: times_weight(l, t, l->y); break;
        case SWISH: swish(l, t); break;
        case GRU: gru(l, t); break;
        case DRAW: draw(l, t); break;
        case CHOOSE: choose(l, t); break;
        case COPY: copy(l, t); break;
    }
}

static void step_backward(const layer *l, int64_t t, real *work) {
    switch (l->kind) {
        case LINEAR: linear_backward(l, t); break;
        case SWISH: swish_backward(l, t, work); break;
        case GRU: gru_backward(l, t, work); break;
        case DRAW: draw_backward(l, t); break;
        case CHOOSE: choose_backward(l, t); break;
        case COPY: copy_backward(l, t); break;
    }
}

/* ---- scans ---- */

/* The same layers of the next model, in place. */
static void next_model(layer *layers, int64_t count, int64_t by) {
    for (int64_t i = 0; i < count; i++)
        for (stack *s = &layers[i].x; s <= &layers[i].dpanels; s++)
            if (s->at) s->at += by * s->model;
}

/* Layers 0 … every-1 run at steps 0 … steps, the others between two of them. */
void forward(layer *layers, int64_t every, int64_t count, int64_t steps, int64_t models) {
    for (int64_t m = 0; m < models; m++, next_model(layers, count, 1)) {
        for (layer *l = layers; l < layers + count; l++)
            if (l->panels.at)
                pack(l->panels.at, l->in * PANEL, l->weight.at, l->in, l->out, 1, l->weight.row);
        for (int64_t t = 0; t <= steps; t++)
            for (int64_t i = 0; i < (t < steps ? count : every); i++) step(layers + i, t);
    }
    next_model(layers, count, -models);
}

/* Backwards; ``work`` holds as many numbers as any layer's ``work_of``. */
void backward(layer *layers, int64_t every, int64_t count, int64_t steps, int64_t models,
              real *work) {
    for (int64_t m = 0; m < models; m++, next_model(layers, count, 1)) {
        for (layer *l = layers; l < layers + count; l++)
            if (l->dpanels.at)
                pack(l->dpanels.at, l->out * PANEL, l->weight.at, l->out, l->in, l->weight.row, 1);
        for (int64_t t = steps; t >= 0; t--)
            for (int64_t i = (t < steps ? count : every) - 1; i >= 0; i--)
                step_backward(layers + i, t, work);
        for (int64_t i = 0; i < count; i++)
            if (layers[i].dweight.at) to_weight(layers + i, steps + (i < every), work);
    }
    next_model(layers, count, -models);
}

/* How many numbers the panels of a matrix take. */
int64_t packed(int64_t inner, int64_t columns) {
    return inner * ((columns + PANEL - 1) / PANEL) * PANEL;
}

/* How many numbers a layer works with on its way back. */
int64_t work_of(const layer *l) {
    int64_t rows = l->rows < CHUNK ? CHUNK : l->rows, inputs = packed(rows, l->in);
    return inputs < l->out ? l->out : inputs;
}
