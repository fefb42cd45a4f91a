/**
 * The place where chat_model.ts stood.
 */
export * from '../chat_model.ts'
