import type { FastifyReply, FastifyRequest } from 'fastify'
import { ServerError } from '../errors.js'
import type { Limits } from '../limits.js'
import type { UploadBudget } from '../service/budget.js'
import type { Service } from '../service/service.js'

/** What one request holds until it is answered, or its client has left. */
export class Call {
  readonly limits: Limits
  readonly signal: AbortSignal
  readonly #budget: UploadBudget
  #held = 0
  #ended = false

  private constructor(limits: Limits, budget: UploadBudget, signal: AbortSignal) {
    this.limits = limits
    this.#budget = budget
    this.signal = signal
  }

  /** To be called when a request's headers have arrived. */
  static begin(request: FastifyRequest, reply: FastifyReply, service: Service): Call {
    const { limits } = service
    const controller = new AbortController()
    const timer = setTimeout(() => {
      const message = `the request was not done within ${limits.requestTime / 1000} s`
      controller.abort(new ServerError(503, 'ERR_REQUEST_TIME', message, 'send it again when the server is less busy'))
    }, limits.requestTime)
    const call = new Call(limits, service.uploads, controller.signal)
    calls.set(request.raw, call)
    const leave = service.enter(controller)
    reply.raw.once('close', () => {
      clearTimeout(timer)
      call.#end()
      leave()
      if (!reply.raw.writableFinished) controller.abort(clientLeft())
    })
    return call
  }

  /** Counts bytes of the upload, until the request ends. @throws ERR_BUSY */
  hold(bytes: number): void {
    if (this.#ended) throw clientLeft()
    this.#budget.hold(bytes)
    this.#held += bytes
  }

  #end(): void {
    this.#ended = true
    this.#budget.release(this.#held)
    this.#held = 0
  }
}

const calls = new WeakMap<object, Call>()

const clientLeft = () => new ServerError(499, 'ERR_CLIENT_LEFT', 'the client has left before it had its answer')

/** The call of a request of this plugin. */
export const callOf = (request: FastifyRequest): Call => calls.get(request.raw) as Call

/** Aborts when the client of a request leaves before it has its answer, and when the request's time is over. */
export const signalOf = (request: FastifyRequest): AbortSignal => callOf(request).signal
