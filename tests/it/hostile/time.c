/* Preloaded into the program by a test: its clocks run TEST_CLOCK_SPEED times as fast, and whoever waits for a time waits
   accordingly less. The wall clock is ahead by TEST_CLOCK_AHEAD seconds; with TEST_CLOCK_JUMP, a path, only once there is
   something. What isn't asked of these two functions keeps its own time. */

#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL

static long long speed = 1, ahead, wall_start, steady_start;
static const char *jump;

static long long read_clock(clockid_t clock) {
    struct timespec now;
    syscall(SYS_clock_gettime, clock, &now);
    return now.tv_sec * SECOND + now.tv_nsec;
}

__attribute__((constructor)) static void begin(void) {
    const char *text = getenv("TEST_CLOCK_SPEED");
    speed = text ? atoll(text) : 1;
    text = getenv("TEST_CLOCK_AHEAD");
    ahead = text ? atoll(text) * SECOND : 0;
    jump = getenv("TEST_CLOCK_JUMP");
    wall_start = read_clock(CLOCK_REALTIME);
    steady_start = read_clock(CLOCK_MONOTONIC);
}

int clock_gettime(clockid_t clock, struct timespec *result) {
    long long now = read_clock(clock);
    if (clock == CLOCK_REALTIME)
        now = wall_start + (now - wall_start) * speed + (jump && access(jump, F_OK) ? 0 : ahead);
    if (clock == CLOCK_MONOTONIC)
        now = steady_start + (now - steady_start) * speed;
    result->tv_sec = now / SECOND;
    result->tv_nsec = now % SECOND;
    return 0;
}

int epoll_wait(int epoll, struct epoll_event *events, int most, int timeout) {
    if (timeout > 0)
        timeout = (int)((timeout + speed - 1) / speed);
    return epoll_pwait(epoll, events, most, timeout, NULL);
}
