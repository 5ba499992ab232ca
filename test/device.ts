import { spawnSync } from 'node:child_process'
import { lstatSync } from 'node:fs'

/**
 * Makes a null device of the test's own: a test that fails must not replace the machine's. False where the user may not make one.
 */
export const makeDevice = (path: string): boolean => spawnSync('mknod', [path, 'c', '1', '3']).status === 0

export const isDevice = (path: string): boolean => lstatSync(path).isCharacterDevice()
