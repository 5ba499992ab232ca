import { spawnSync } from 'node:child_process'
import { lstatSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * Makes a null device for one test: a test that fails must not replace the machine's. Returns false if the user may not make devices.
 */
export const makeDevice = (path: string): boolean => spawnSync('mknod', [path, 'c', '1', '3']).status === 0

export const isDevice = (path: string): boolean => lstatSync(path).isCharacterDevice()

/** Whether the user may make devices, which containers often forbid. */
export function canMakeDevices(): boolean {
  const folder = mkdtempSync(join(tmpdir(), 'clip-es-device-'))
  const made = makeDevice(join(folder, 'null'))
  rmSync(folder, { recursive: true })
  return made
}
