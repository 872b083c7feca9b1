// Prints what is published: node subscribe.cjs GRAPE NAME
const Link = require('grenache-nodejs-link')
const { PeerSub } = require('grenache-nodejs-ws')

const [grape, name] = process.argv.slice(2)
const link = new Link({ grape })
link.start()
const peer = new PeerSub(link, {})
peer.init()
peer.on('connected', () => console.log('connected'))
peer.on('message', message => console.log(`heard ${message}`))
peer.sub(name, { timeout: 10000 })
