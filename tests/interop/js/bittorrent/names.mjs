// What the packages of webtorrent's makers offer to the tests: one line of JSON.
import { Client } from 'bittorrent-dht'
import Server from 'bittorrent-tracker/server'

const parts = { Client, Server }
console.log(JSON.stringify({ node: process.versions.node, functions: Object.keys(parts) }))
