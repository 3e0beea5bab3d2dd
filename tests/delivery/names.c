/*
 * Names of a test. Loaded before the relay (LD_PRELOAD), it gives every name that ends in `.test` the
 * address 127.0.0.1 and leaves all others to the system: certificates are for names, and no system
 * knows several for itself.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>

typedef int look_up(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    static look_up *real;
    if (!real)
        real = (look_up *)dlsym(RTLD_NEXT, "getaddrinfo");
    size_t length = name ? strlen(name) : 0;
    if (length > 5 && strcmp(name + length - 5, ".test") == 0)
        name = "127.0.0.1";
    return real(name, service, hints, found);
}
