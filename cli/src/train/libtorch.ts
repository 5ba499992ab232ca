import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { hasCuda, installedLibTorch, isTooOld, oldestVersion, readVersion } from 'clip-es/support'
import { pythonTorch } from '../setup/python.js'

/** The LibTorch of the training program. */
export interface TrainLibTorch {
  folder: string
  version: string
}

const header = 'include/torch/csrc/api/include/torch/torch.h'

/** The LibTorch to build against: the one that the engine would use, else the torch of the Python on PATH. Or why there is none. */
export function findLibTorch(): TrainLibTorch | { missing: string } {
  const installed = installedLibTorch()
  if (installed) return checked(installed.folder, installed.version)
  const python = pythonTorch()
  if (python.state === 'absent') return { missing: `LibTorch (none is set up, and ${python.reason})` }
  return checked(python.folder, readVersion(python.folder))
}

function checked(folder: string, version: string): TrainLibTorch | { missing: string } {
  if (isTooOld(version)) return { missing: `LibTorch ${oldestVersion} or newer (${folder} has ${version})` }
  if (!existsSync(join(folder, header))) return { missing: `the headers of LibTorch (${folder} has no ${header})` }
  return { folder, version }
}

/** The device that 'auto' means: a GPU if this LibTorch can use one that is there. */
export function resolveDevice(device: string, { folder }: TrainLibTorch): string {
  if (device === 'cuda') return 'cuda:0'
  if (device !== 'auto') return device
  return hasCuda(folder) && existsSync('/dev/nvidia0') ? 'cuda:0' : 'cpu'
}
