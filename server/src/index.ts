export { type Problem, ServerError, type ServerErrorCode } from './errors.js'
export { defaultLimits, type Limits, type LogLevel, logLevels } from './limits.js'
export type { ServerOptions } from './options.js'
export { clipEs } from './plugin.js'
export type { LabelStudioOptions } from './protocols/label_studio/host.js'
export { type RunningServer, type ServeOptions, serve } from './serve.js'
export type {
  BatchBackend,
  BatchContext,
  BatchFailure,
  BatchPhoto,
  BatchState,
  BatchTask,
  StartBatches,
} from './service/batches.js'
export type { ClassSetCache, NamedClassSet } from './service/class_sets.js'
export type { ImageStore, StoredImage } from './service/image_store.js'
export { type SegmentRequest, Service, type ServiceResult } from './service/service.js'
