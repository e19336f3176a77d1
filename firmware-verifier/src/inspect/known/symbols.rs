//! Functions by which a component is known where it has no text: bare-metal images that were not stripped.

use super::super::report::Kind;

/// A function that only one component defines.
#[derive(Debug)]
pub(in super::super) struct Symbol {
    pub(in super::super) symbol: &'static str,
    pub(in super::super) name: &'static str,
    pub(in super::super) kind: Kind,
    pub(in super::super) confidence: u8,
}

const fn row(symbol: &'static str, name: &'static str, kind: Kind, confidence: u8) -> Symbol {
    Symbol { symbol, name, kind, confidence }
}

pub(in super::super) const SYMBOLS: &[Symbol] = &[
    row("vTaskStartScheduler", "freertos", Kind::OperatingSystem, 90), // tasks.c
    row("xQueueGenericSend", "freertos", Kind::OperatingSystem, 90),   // queue.c
    row("vxbInit", "vxworks", Kind::OperatingSystem, 85),              // vxBus
    row("_tx_thread_schedule", "threadx", Kind::OperatingSystem, 90),  // ports/*/tx_thread_schedule.S
    row("z_cstart", "zephyr", Kind::OperatingSystem, 90),              // kernel/init.c
    row("nx_start", "nuttx", Kind::OperatingSystem, 85),               // sched/init/nx_start.c
    row("rt_thread_startup", "rt-thread", Kind::OperatingSystem, 85),  // src/thread.c
    row("OSTaskCreateExt", "uc-os", Kind::OperatingSystem, 80),        // os_task.c
    row("cyg_thread_create", "ecos", Kind::OperatingSystem, 85),       // kernel/src/common/kapi.cxx
    row("rtems_task_start", "rtems", Kind::OperatingSystem, 85),       // cpukit/rtems/src/taskstart.c
    row("chThdCreateStatic", "chibios", Kind::OperatingSystem, 85),    // os/rt/src/chthreads.c
    row("lwip_init", "lwip", Kind::Library, 95),                       // src/core/init.c
    row("uip_process", "uip", Kind::Library, 80),                      // net/uip.c
    row("mbedtls_ssl_handshake", "mbedtls", Kind::Library, 95),        // library/ssl_tls.c
    row("wolfSSL_connect", "wolfssl", Kind::Library, 95),              // src/ssl.c
    row("SSL_CTX_new", "openssl", Kind::Library, 60), // ssl/ssl_lib.c; LibreSSL and BoringSSL, too
    row("deflateInit_", "zlib", Kind::Library, 80),   // deflate.c
    row("inflateInit2_", "zlib", Kind::Library, 80),  // inflate.c
    row("XML_ParserCreate", "expat", Kind::Library, 80), // lib/xmlparse.c
    row("sqlite3_open", "sqlite", Kind::Library, 90), // src/main.c
    row("modbus_new_tcp", "libmodbus", Kind::Library, 90), // src/modbus-tcp.c
    row("eMBInit", "freemodbus", Kind::Library, 90),  // modbus/mb.c
    row("MQTTClient_create", "paho-mqtt", Kind::Library, 80), // src/MQTTClient.c
    row("f_mount", "fatfs", Kind::Library, 80),       // source/ff.c
    row("lfs_mount", "littlefs", Kind::Library, 85),  // lfs.c
    row("cJSON_Parse", "cjson", Kind::Library, 85),   // cJSON.c
    row("png_create_read_struct", "libpng", Kind::Library, 85), // pngread.c
    row("lua_newstate", "lua", Kind::Library, 85),    // src/lstate.c
];
