import { packageVersion, show } from 'clip-es/support'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { withoutPixels } from '../../answers/threads.js'
import { ServerError } from '../../errors.js'
import { readBody } from '../../request/body.js'
import { signalOf } from '../../request/call.js'
import { prepareProblem } from '../../send_problem.js'
import type { Service, ServiceResult } from '../../service/service.js'
import { photoJsonBytes } from '../base64_photo.js'
import { onlyDescribe, type ProtocolOptions } from '../options.js'
import { checkJsonOutputs, type InferAnswer, inferAnswer } from './answer.js'
import { inputs, modelName, modelVersion, outputs } from './model.js'
import { type InferRequest, readInferRequest } from './request.js'

interface OfModel {
  Params: { model: string; version?: string }
}

/** @throws ERR_NOT_FOUND for another model or version */
function checkModel({ params: { model, version } }: FastifyRequest<OfModel>): void {
  if (model === modelName && (version === undefined || version === modelVersion)) return
  const [what, name, known] = model === modelName ? ['version', version, modelVersion] : ['model', model, modelName]
  throw new ServerError(404, 'ERR_NOT_FOUND', `there is no ${what} ${show(name)}`, `the ${what} of this server is '${known}'`)
}

const describe = (summary: string) => ({ schema: { tags: ['tools'], summary: `KServe: ${summary}` } })

/** Errors have the protocol's form; bodies are read whole, because JSON and binary data are in one. */
function prepare(app: FastifyInstance, { service }: ProtocolOptions): void {
  onlyDescribe(app)
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', async (request: FastifyRequest) => await readBody(request, photoJsonBytes(service)))
  app.setErrorHandler((error, request, reply) => {
    const { detail, remedy } = prepareProblem(error, request, reply, service.queue.retryAfter)
    return reply.type('application/json').send({ error: remedy === undefined ? detail : `${detail}; ${remedy}` })
  })
}

/** Numbers as JSON take a while, so another thread writes them. @throws ERR_INVALID_ARG for an output that is too large for JSON */
async function answerOf(
  result: ServiceResult,
  { id, outputs }: InferRequest,
  { threads }: Service,
  signal: AbortSignal,
): Promise<InferAnswer> {
  if (outputs.every(({ binary }) => binary)) return inferAnswer(result, { id, outputs })
  checkJsonOutputs(result, outputs)
  return await threads.run('infer', { result: withoutPixels(result), request: { id, outputs } }, signal)
}

/** The open inference protocol (KServe's V2) with the extension for binary tensor data. */
export async function kserveRoutes(app: FastifyInstance, options: ProtocolOptions): Promise<void> {
  const { service } = options
  const open = { config: { public: true } }
  prepare(app, options)

  for (const path of ['/v2', '/v2/'])
    app.get(path, describe('the server'), async () => ({
      ...{ name: 'clip-es', version: packageVersion(), extensions: ['binary_tensor_data', 'parameters'] },
    }))
  app.get('/v2/health/live', { ...open, ...describe('whether the process answers') }, async () => ({ live: true }))
  app.get('/v2/health/ready', { ...open, ...describe('whether requests are welcome') }, async (_, reply) =>
    reply.code(service.ready ? 200 : 503).send({ ready: service.ready }),
  )

  for (const path of ['/v2/models/:model', '/v2/models/:model/versions/:version']) {
    app.get<OfModel>(path, describe('the model and its tensors'), async (request) => {
      checkModel(request)
      return { name: modelName, versions: [modelVersion], platform: 'pytorch_torchscript', inputs, outputs }
    })
    app.get<OfModel>(`${path}/ready`, { ...open, ...describe('whether the model is ready') }, async (request, reply) => {
      checkModel(request)
      return reply.code(service.ready ? 200 : 503).send({ name: modelName, ready: service.ready })
    })
    app.post<OfModel>(`${path}/infer`, describe('a mask for a photo'), async (request, reply) => {
      checkModel(request)
      const [header] = [request.headers['inference-header-content-length']].flat()
      const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0)
      const asked = readInferRequest(body, header, service)
      const signal = signalOf(request)
      const result = await service.segment({ ...asked.segment, signal })
      const { json, binary } = await answerOf(result, asked, service, signal)
      if (!binary) return reply.type('application/json').send(json)
      const head = Buffer.from(json)
      return reply
        .header('inference-header-content-length', head.length)
        .type('application/octet-stream')
        .send(Buffer.concat([head, binary]))
    })
  }
}
