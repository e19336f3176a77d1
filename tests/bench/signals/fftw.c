/* The peer of `make bench signal-speed`: real to complex transforms of N doubles by FFTW on one thread.
 * For each line read, a number of milliseconds, it works so long and writes million samples each second. */
#include <fftw3.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

int main(int argc, char **argv)
{
    int n = argc > 1 ? atoi(argv[1]) : 0;
    if (n < 1)
        return 2;
    double *in = fftw_alloc_real(n);
    fftw_complex *out = fftw_alloc_complex(n / 2 + 1);
    fftw_plan plan = fftw_plan_dft_r2c_1d(n, in, out, FFTW_PATIENT);
    if (!plan)
        return 1;
    /* Planning overwrites the input. */
    for (int i = 0; i < n; i++)
        in[i] = cos(i * 0.8171) + 0.1 * sin(i * 1.7);
    printf("%s\n", fftw_version);
    fflush(stdout);
    int ms;
    while (scanf("%d", &ms) == 1) {
        double began = now(), end = began + 1e-3 * ms;
        long windows = 0;
        do {
            for (int i = 0; i < 16; i++)
                fftw_execute(plan);
            windows += 16;
        } while (now() < end);
        printf("%f\n", windows * (double)n / (now() - began) / 1e6);
        fflush(stdout);
    }
    return 0;
}
