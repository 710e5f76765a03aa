/* unpacked.c - lets Debian's server programs run from an unpacked tree, under their own accounts.
 *
 * Loaded with LD_PRELOAD. It changes three things only. Dovecot has the paths of its modules and of
 * doveconf compiled in: for the few calls that use them, a path under /usr/ is looked for below
 * $PEERS_ROOT first. The servers insist on users and groups that this system need not have:
 * names and numbers are looked for in $PEERS_ACCOUNTS/passwd and group first. And Courier asks for
 * accounts at a socket below /run/courier/, which is looked for below $PEERS_ACCOUNTS.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The next definition of a function: libc's own. */
#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static const char *unpacked(const char *path, char *out, size_t size)
{
    const char *root = getenv("PEERS_ROOT");
    if (path == NULL || root == NULL || strncmp(path, "/usr/", 5) != 0)
        return path;
    int length = snprintf(out, size, "%s%s", root, path);
    return length > 0 && (size_t)length < size && access(out, F_OK) == 0 ? out : path;
}

DIR *opendir(const char *path)
{
    char other[4096];
    return NEXT(opendir)(unpacked(path, other, sizeof other));
}

void *dlopen(const char *path, int flags)
{
    char other[4096];
    return NEXT(dlopen)(unpacked(path, other, sizeof other), flags);
}

int execv(const char *path, char *const argv[])
{
    char other[4096];
    return NEXT(execv)(unpacked(path, other, sizeof other), argv);
}

int execve(const char *path, char *const argv[], char *const envp[])
{
    char other[4096];
    return NEXT(execve)(unpacked(path, other, sizeof other), argv, envp);
}

int connect(int fd, const struct sockaddr *address, socklen_t size)
{
    struct sockaddr_un other = {.sun_family = AF_UNIX};
    const struct sockaddr_un *local = (const struct sockaddr_un *)address;
    const char *folder = getenv("PEERS_ACCOUNTS");
    if (folder != NULL && address->sa_family == AF_UNIX &&
        strncmp(local->sun_path, "/run/courier/", 13) == 0 &&
        snprintf(other.sun_path, sizeof other.sun_path, "%s%s", folder, local->sun_path) <
            (int)sizeof other.sun_path)
        return NEXT(connect)(fd, (const struct sockaddr *)&other, sizeof other);
    return NEXT(connect)(fd, address, size);
}

static FILE *accounts(const char *name)
{
    char path[4096];
    const char *folder = getenv("PEERS_ACCOUNTS");
    if (folder == NULL || snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return NULL;
    return fopen(path, "re");
}

/* Finds by name, or by uid where name is NULL. 0: found, ENOENT, or ERANGE as getpwnam_r() has it.
 */
static int find_user(const char *name, uid_t uid, struct passwd *out, char *buffer, size_t size)
{
    struct passwd *user = NULL;
    int error = ENOENT;
    FILE *file = accounts("passwd");
    if (file == NULL)
        return ENOENT;
    while ((error = fgetpwent_r(file, out, buffer, size, &user)) == 0)
        if (name != NULL ? strcmp(user->pw_name, name) == 0 : user->pw_uid == uid)
            break;
    fclose(file);
    return error;
}

static int find_group(const char *name, gid_t gid, struct group *out, char *buffer, size_t size)
{
    struct group *group = NULL;
    int error = ENOENT;
    FILE *file = accounts("group");
    if (file == NULL)
        return ENOENT;
    while ((error = fgetgrent_r(file, out, buffer, size, &group)) == 0)
        if (name != NULL ? strcmp(group->gr_name, name) == 0 : group->gr_gid == gid)
            break;
    fclose(file);
    return error;
}

int getpwnam_r(const char *name, struct passwd *out, char *buffer, size_t size,
               struct passwd **result)
{
    int error = find_user(name, 0, out, buffer, size);
    if (error == ENOENT)
        return NEXT(getpwnam_r)(name, out, buffer, size, result);
    *result = error == 0 ? out : NULL;
    return error;
}

int getpwuid_r(uid_t uid, struct passwd *out, char *buffer, size_t size, struct passwd **result)
{
    int error = find_user(NULL, uid, out, buffer, size);
    if (error == ENOENT)
        return NEXT(getpwuid_r)(uid, out, buffer, size, result);
    *result = error == 0 ? out : NULL;
    return error;
}

int getgrnam_r(const char *name, struct group *out, char *buffer, size_t size,
               struct group **result)
{
    int error = find_group(name, 0, out, buffer, size);
    if (error == ENOENT)
        return NEXT(getgrnam_r)(name, out, buffer, size, result);
    *result = error == 0 ? out : NULL;
    return error;
}

int getgrgid_r(gid_t gid, struct group *out, char *buffer, size_t size, struct group **result)
{
    int error = find_group(NULL, gid, out, buffer, size);
    if (error == ENOENT)
        return NEXT(getgrgid_r)(gid, out, buffer, size, result);
    *result = error == 0 ? out : NULL;
    return error;
}

/* The forms without _r may reuse one place in memory, and their callers know it. */
static char place[4096];

struct passwd *getpwnam(const char *name)
{
    static struct passwd user;
    return find_user(name, 0, &user, place, sizeof place) == 0 ? &user : NEXT(getpwnam)(name);
}

struct passwd *getpwuid(uid_t uid)
{
    static struct passwd user;
    return find_user(NULL, uid, &user, place, sizeof place) == 0 ? &user : NEXT(getpwuid)(uid);
}

struct group *getgrnam(const char *name)
{
    static struct group group;
    return find_group(name, 0, &group, place, sizeof place) == 0 ? &group : NEXT(getgrnam)(name);
}

struct group *getgrgid(gid_t gid)
{
    static struct group group;
    return find_group(NULL, gid, &group, place, sizeof place) == 0 ? &group : NEXT(getgrgid)(gid);
}
