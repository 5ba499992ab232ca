// The messages between the page and the engine's process. They travel over a MessagePort that connects the two directly.
//
// Pixels and masks are copied once, by the port: it connects two processes, and the transfer list of Electron's MessagePortMain
// takes only ports. A page that transfers an ArrayBuffer to it loses the message.

/** Pixels as a canvas has them. They replace the photo of the same page. */
export interface PhotoRequest {
  type: 'photo'
  id: number
  /** width * height * 4 bytes: red, green, blue, alpha. */
  pixels: Uint8ClampedArray
  width: number
  height: number
}

/** Asks for the masks of words in the photo. */
export interface WordsRequest {
  type: 'words'
  id: number
  words: string[]
  /** Draw the masks along the photo's edges. */
  crf: boolean
}

/** Ends another request early. It is answered by `failed` with the code 'ABORTED', or with its result if that was ready before. */
export interface AbortRequest {
  type: 'abort'
  id: number
}

export type Request = PhotoRequest | WordsRequest | AbortRequest

/** The photo is encoded. Words are quick from now on. */
export interface PhotoReply {
  type: 'photo'
  id: number
  milliseconds: number
}

export interface MasksReply {
  type: 'masks'
  id: number
  width: number
  height: number
  /** width * height bytes: 0 is background, n the word labels[n - 1]. */
  mask: Uint8Array
  labels: string[]
  /** From the words to the mask, without the time of the photo. */
  milliseconds: number
}

/** What went wrong. `message` is for people: it says what to do. */
export interface Failure {
  code: string
  message: string
}

export interface FailedReply {
  type: 'failed'
  id: number
  error: Failure
}

/** Sent once, when the model is loaded. */
export interface ModelNotice {
  type: 'model'
  path: string
  /** True for the model that ships with clip-es, which knows emoji scenes and not photographs. */
  demo: boolean
}

/** Sent instead if the model cannot be loaded. Every request fails with the same error. */
export interface UnusableNotice {
  type: 'unusable'
  error: Failure
}

export type Reply = PhotoReply | MasksReply | FailedReply | ModelNotice | UnusableNotice

// What the preload script posts to the page's window. Each window message has one of these as its data.

/** The port to the engine is the message's first port. It replaces an earlier one. */
export interface EngineMessage {
  type: 'clip-es-engine'
  /** True if the engine's process ended unexpectedly and was started again. */
  restarted: boolean
}

/** The engine's process ended too often and is not started again. */
export interface EngineLostMessage {
  type: 'clip-es-engine-lost'
  message: string
}

/** What the main process needs of a MessagePortMain. */
export interface EnginePort {
  postMessage(message: Reply): void
  on(event: 'message', listener: (event: { data: Request }) => void): unknown
  on(event: 'close', listener: () => void): unknown
  start(): void
}
