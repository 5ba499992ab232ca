import type { FastifyInstance } from 'fastify'
import type { RemotePhotos } from '../remote/photos.js'
import type { Service } from '../service/service.js'
import type { LabelStudioHost } from './label_studio/host.js'

/** What the plugins of the protocols get. */
export interface ProtocolOptions {
  service: Service
  remote: RemotePhotos
  labelStudio?: LabelStudioHost
}

/** Schemas of a protocol's routes describe them. Handlers validate, in the library's words, and answer in the protocol's form. */
export function onlyDescribe(app: FastifyInstance): void {
  app.setValidatorCompiler(() => () => true)
  app.setSerializerCompiler(() => (value) => JSON.stringify(value))
}
