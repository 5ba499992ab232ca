/** What one request, and all requests together, may use. */
export interface Limits {
  /** Bytes of an encoded photo. Default 32 MiB. */
  photoBytes: number
  /** Pixels of a photo, checked before it is decoded. Default 50e6. */
  photoPixels: number
  /** Pages or frames of a photo's file, of which the first is read. Default 100. */
  photoFrames: number
  /** Classes and background words of a request, each with its synonyms. Default 300. */
  words: number
  /** Bytes of a JSON body, and of one option in a form. Default 1 MiB. */
  jsonBytes: number
  /** Bytes of photos that all requests together hold while they wait. Default 512 MiB. */
  uploadBytes: number
  /** Requests that wait for the engine; more are refused with 503. Default 64. */
  queue: number
  /** Milliseconds from a request's arrival to the end of its computation. Default 60 000. */
  requestTime: number
  /** Milliseconds in which a request must have arrived whole. Default 30 000. */
  uploadTime: number
  /** Bytes that the photos of POST /v1/images hold together. Default 1 GiB. */
  storeBytes: number
  /** Milliseconds that such a photo is kept after its last use. Default 600 000. */
  storeTime: number
  /** Class sets that are kept encoded. Default 64. */
  classSets: number
  /** Photos of a batch. Default 10 000. */
  batchPhotos: number
  /** Batches that have not ended; more are refused with 503. Default 100. */
  batches: number
}

export const defaultLimits: Readonly<Limits> = Object.freeze({
  photoBytes: 32 * 2 ** 20,
  photoPixels: 50e6,
  photoFrames: 100,
  words: 300,
  jsonBytes: 2 ** 20,
  uploadBytes: 512 * 2 ** 20,
  queue: 64,
  requestTime: 60_000,
  uploadTime: 30_000,
  storeBytes: 2 ** 30,
  storeTime: 600_000,
  classSets: 64,
  batchPhotos: 10_000,
  batches: 100,
})

/** Levels of log lines. */
export const logLevels = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof logLevels)[number]
