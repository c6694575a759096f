/**
 * Where every step of the rungs `root` and `userns` has something mounted (native/system-mounts.c). A root without one of
 * these gets it for the time of the step, which costs more than the mount: an overlay whose lowest layer has them all
 * spares that. Directories end in `/`.
 */
export const mountPoints: readonly string[] = ['dev/', 'proc/', 'sys/', 'etc/hosts', 'etc/resolv.conf'];
