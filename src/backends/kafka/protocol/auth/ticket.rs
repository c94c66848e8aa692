//! Kerberos credentials from a keytab or a credential cache of one connection: the one call of
//! MIT's library that `libgssapi` does not wrap.

#![expect(unsafe_code, reason = "gss_acquire_cred_from is a C function")]

use std::{
    ffi::{CStr, CString},
    hash::{DefaultHasher, Hash, Hasher},
    io::Write,
    path::Path,
    ptr,
};

use libgssapi::{
    credential::Cred,
    error::{Error, MajorFlags},
};
use libgssapi_sys as sys;
use tempfile::NamedTempFile;

/// Credentials for a principal by its keytab.
pub fn from_keytab(principal: &str, keytab: &[u8]) -> Result<Cred, String> {
    let unwritten = |error: std::io::Error| format!("a file for the keytab: {error}");
    // Readable by us alone, and gone when the ticket is there.
    let mut file = NamedTempFile::new().map_err(unwritten)?;
    file.write_all(keytab).map_err(unwritten)?;
    // Tickets are kept in memory for the next login with the same keytab, and by no other.
    let mut same = DefaultHasher::new();
    (principal, keytab).hash(&mut same);
    let cache = format!("MEMORY:backlog-scaler-{:016x}", same.finish());
    let keytab = format!("FILE:{}", file.path().display());
    acquire(
        principal,
        &[(c"client_keytab", &keytab), (c"ccache", &cache)],
    )
}

/// Credentials for a principal in a credential cache.
pub fn from_cache(principal: &str, path: &Path) -> Result<Cred, String> {
    acquire(
        principal,
        &[(c"ccache", &format!("FILE:{}", path.display()))],
    )
}

fn acquire(principal: &str, places: &[(&CStr, &str)]) -> Result<Cred, String> {
    let text = |text: &str| CString::new(text).map_err(|_| "a name has a zero byte".to_owned());
    let principal = text(principal)?;
    let values: Vec<CString> = places
        .iter()
        .map(|(_, place)| text(place))
        .collect::<Result<_, _>>()?;
    let elements = places.iter().zip(&values);
    let mut elements: Vec<_> = elements
        .map(|((key, _), value)| sys::gss_key_value_element_desc {
            key: key.as_ptr(),
            value: value.as_ptr(),
        })
        .collect();
    let places = sys::gss_key_value_set_desc {
        count: elements.len() as u32,
        elements: elements.as_mut_ptr(),
    };
    let mut buffer = sys::gss_buffer_desc {
        length: principal.as_bytes().len(),
        value: principal.as_ptr() as *mut _,
    };
    let (mut minor, mut name) = (0, ptr::null_mut());
    // SAFETY: `buffer` is valid for the call, which copies it and does not write to it (RFC 2744,
    // 5.16). Without a type the mechanism reads a name as a principal.
    let major =
        unsafe { sys::gss_import_name(&mut minor, &mut buffer, ptr::null_mut(), &mut name) };
    check(major, minor)?;
    let mut credential = ptr::null_mut();
    // SAFETY: `name` was just made. `places` and what it points to (`elements`, `values`, and keys
    // that are static) outlive the call, which copies what it keeps. The other pointers are null
    // where the function takes null, or ours to write to.
    let major = unsafe {
        sys::gss_acquire_cred_from(
            &mut minor,
            name,
            sys::_GSS_C_INDEFINITE,
            ptr::null_mut(),
            sys::GSS_C_INITIATE as sys::gss_cred_usage_t,
            &places,
            &mut credential,
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
    let mut ignored = 0;
    // SAFETY: `name` is released once, and not used after.
    unsafe { sys::gss_release_name(&mut ignored, &mut name) };
    check(major, minor)?;
    // SAFETY: nobody else knows of `credential`, which `Cred` releases.
    Ok(unsafe { Cred::from_c(credential) })
}

fn check(major: u32, minor: u32) -> Result<(), String> {
    match major {
        sys::GSS_S_COMPLETE => Ok(()),
        _ => {
            let major = MajorFlags::from_bits_retain(major);
            Err(Error { major, minor }.to_string())
        }
    }
}
